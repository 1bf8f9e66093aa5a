import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import { StreamHealthDocument, type StreamHealthQuery } from '../graphql/graphql'

export type Health = NonNullable<NonNullable<StreamHealthQuery['channel']>['stream']>

/** The media server measures over ten seconds: asking more often would answer the same. */
const EVERY_MS = 5_000

/** What arrives from the publisher: there is no event for it, so it is asked for while it is seen. */
export function useHealth(loc: string) {
  const { client } = useClientHandle()
  const health = shallowRef<Health | null>(null)
  let gone = false

  async function read() {
    if (document.hidden) return
    const { data } = await client.query(StreamHealthDocument, { loc }).toPromise()
    if (!gone && data) health.value = data.channel?.stream ?? null
  }
  void read()
  const timer = setInterval(() => void read(), EVERY_MS)
  onScopeDispose(() => {
    gone = true
    clearInterval(timer)
  })
  return health
}
