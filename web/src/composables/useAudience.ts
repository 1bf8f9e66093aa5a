import type { Client } from '@urql/core'
import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import { SiteAudienceDocument, StreamAudienceDocument } from '../graphql/graphql'
import { backoff } from '../lib/backoff'
import { curve, type Series } from '../lib/series'

type Points = readonly { at: string; viewers: number }[]

/** How many watched a stream so far, as the server has kept it; null until there is an answer. */
export function useAudience(id: string, endedAt?: string | null) {
  return useCurve(async (client) => {
    const { data } = await client.query(StreamAudienceDocument, { id }).toPromise()
    if (!data) return null
    // A stream that is not there any more has no audience.
    return data.node && 'audience' in data.node ? data.node.audience : []
  }, endedAt)
}

/** How many watched the whole site in the last hour, likewise. */
export function useSiteAudience() {
  return useCurve(async (client) => {
    const { data } = await client.query(SiteAudienceDocument, {}).toPromise()
    return data?.siteStatus?.audience ?? null
  })
}

/** What `ask` finds, which is asked until there is an answer. */
function useCurve(ask: (client: Client) => Promise<Points | null>, end?: string | null) {
  const { client } = useClientHandle()
  const series = shallowRef<Series | null>(null)
  let gone = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function read(attempt = 0) {
    const points = await ask(client)
    if (gone) return
    if (points) series.value = curve(points, end)
    else timer = setTimeout(() => void read(attempt + 1), backoff(attempt))
  }
  void read()
  onScopeDispose(() => {
    gone = true
    clearTimeout(timer)
  })
  return series
}
