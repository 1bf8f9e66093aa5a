import { useClientHandle } from '@urql/vue'
import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import { WatchChannelDocument, type WatchChannelQuery } from '../graphql/graphql'
import { followStreamEvents, readCursor } from '../lib/events'
import { followFeed } from '../lib/feed'
import { codeOf } from '../lib/listen'
import { applyToChannel, type OnAir, type StreamEvent } from '../lib/streams'

export type WatchedChannel = NonNullable<WatchChannelQuery['channel']>
export type Phase = 'loading' | 'unreachable' | 'unknown' | 'off' | 'live' | 'interrupted'

/** One channel and what it has on the air, kept true without reload. */
export function useChannel(loc: string) {
  const { client } = useClientHandle()
  const channel = shallowRef<WatchedChannel | null>(null)
  const onAir = shallowRef<OnAir>({ stream: null, stopped: null })
  const reading = ref<'loading' | 'unreachable' | 'done'>('loading')

  async function readChannel(): Promise<WatchedChannel | null> {
    const { data, error } = await client.query(WatchChannelDocument, { loc }).toPromise()
    // What is no address at all is nobody's either.
    if (['NOT_FOUND', 'BAD_USER_INPUT'].includes(codeOf(error) ?? '')) return null
    if (!data) throw error ?? new Error('no answer')
    return data.channel ?? null
  }

  const stop = followFeed<WatchedChannel | null, StreamEvent>(
    {
      // The cursor first: fields of one query are read in no promised order, and an event between
      // the channel's reading and a younger cursor would be lost.
      snapshot: async () => {
        const cursor = await readCursor(client)
        return { state: await readChannel(), cursor }
      },
      follow: (cursor, sink) =>
        channel.value ? followStreamEvents(client, loc, cursor, sink) : () => {},
    },
    {
      reset(found) {
        channel.value = found
        onAir.value = { stream: found?.stream ?? null, stopped: null }
        reading.value = 'done'
      },
      apply(event) {
        onAir.value = applyToChannel(onAir.value, event)
      },
      unreachable() {
        if (reading.value === 'loading') reading.value = 'unreachable'
      },
    },
  )
  onScopeDispose(stop)

  const phase = computed<Phase>(() => {
    if (reading.value !== 'done') return reading.value
    if (!channel.value) return 'unknown'
    if (!onAir.value.stream) return 'off'
    return onAir.value.stream.state === 'INTERRUPTED' ? 'interrupted' : 'live'
  })

  return {
    channel,
    phase,
    stream: computed(() => onAir.value.stream),
    stopped: computed(() => onAir.value.stopped),
  }
}
