import { useClientHandle } from '@urql/vue'
import { onScopeDispose, ref, shallowRef } from 'vue'
import { StudioChannelDocument, type StudioChannelFragment } from '../graphql/graphql'
import { backoff } from '../lib/backoff'
import { codeOf } from '../lib/listen'

/** A channel as its owner sees it; asked for until there is an answer. */
export function useStudioChannel(loc: string) {
  const { client } = useClientHandle()
  const status = ref<'loading' | 'unreachable' | 'unknown' | 'denied' | 'ready'>('loading')
  const channel = shallowRef<StudioChannelFragment | null>(null)
  const serverUrl = ref('')
  let gone = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function read(attempt = 0) {
    const { data, error } = await client.query(StudioChannelDocument, { loc }).toPromise()
    if (gone) return
    if (!data && codeOf(error) !== 'NOT_FOUND') {
      status.value = 'unreachable'
      timer = setTimeout(() => void read(attempt + 1), backoff(attempt))
      return
    }
    channel.value = data?.channel ?? null
    serverUrl.value = data?.channel?.ingest?.serverUrl ?? ''
    if (!channel.value) status.value = 'unknown'
    // Where to send video is told to those who may manage the channel, and to nobody else.
    else status.value = data?.channel?.ingest ? 'ready' : 'denied'
  }
  void read()
  onScopeDispose(() => {
    gone = true
    clearTimeout(timer)
  })

  return { status, channel, serverUrl }
}
