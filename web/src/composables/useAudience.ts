import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import { StreamAudienceDocument } from '../graphql/graphql'
import { backoff } from '../lib/backoff'
import { curve, type Series } from '../lib/series'

/** How many watched a stream so far, as the server has kept it; null until there is an answer. */
export function useAudience(id: string, endedAt?: string | null) {
  const { client } = useClientHandle()
  const series = shallowRef<Series | null>(null)
  let gone = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function read(attempt = 0) {
    const { data } = await client.query(StreamAudienceDocument, { id }).toPromise()
    if (gone) return
    if (!data) {
      timer = setTimeout(() => void read(attempt + 1), backoff(attempt))
      return
    }
    // A stream that is not there any more has no audience.
    const points = data.node && 'audience' in data.node ? data.node.audience : []
    series.value = curve(points, endedAt)
  }
  void read()
  onScopeDispose(() => {
    gone = true
    clearTimeout(timer)
  })
  return series
}
