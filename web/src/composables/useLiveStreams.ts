import { useClientHandle } from '@urql/vue'
import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import { LiveStreamsDocument, type LiveStreamsQuery } from '../graphql/graphql'
import { followStreamEvents } from '../lib/events'
import { followFeed } from '../lib/feed'
import { addPage, applyToList, firstPage, type LiveList, type StreamEvent } from '../lib/streams'

const PAGE_SIZE = 48

/**
 * The streams on the air, all or those of one topic, kept true without reload for as long as the
 * calling component lives.
 */
export function useLiveStreams(topic: string | null = null) {
  const { client } = useClientHandle()
  const list = shallowRef<LiveList>(firstPage([]))
  const status = ref<'loading' | 'ready' | 'unreachable'>('loading')
  const nextPage = ref<string | null>(null)
  const loadingMore = ref(false)

  async function readPage(after?: string): Promise<LiveStreamsQuery['liveStreams']> {
    const variables = { first: PAGE_SIZE, after: after ?? null, topic }
    const { data, error } = await client.query(LiveStreamsDocument, variables).toPromise()
    if (!data) throw error ?? new Error('no answer')
    return data.liveStreams
  }

  function rememberNext({ pageInfo }: LiveStreamsQuery['liveStreams']) {
    nextPage.value = pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null
  }

  async function loadMore() {
    if (nextPage.value === null || loadingMore.value) return
    const asked = nextPage.value
    loadingMore.value = true
    try {
      const page = await readPage(asked)
      // The list may have been read anew meanwhile; this page then belongs to the old one.
      if (nextPage.value !== asked) return
      list.value = addPage(list.value, page.nodes)
      rememberNext(page)
    } catch {
      // The button stays, and can be pressed again.
    } finally {
      loadingMore.value = false
    }
  }

  const stop = followFeed<LiveStreamsQuery['liveStreams'], StreamEvent>(
    {
      snapshot: async () => {
        const state = await readPage()
        return { state, cursor: state.eventCursor }
      },
      // The events of all: that a stream leaves the topic is no event of the topic.
      follow: (cursor, sink) => followStreamEvents(client, undefined, cursor, sink),
    },
    {
      reset(page) {
        list.value = firstPage(page.nodes)
        rememberNext(page)
        status.value = 'ready'
      },
      apply(event) {
        list.value = applyToList(list.value, event, topic)
      },
      unreachable() {
        if (status.value === 'loading') status.value = 'unreachable'
      },
    },
  )
  onScopeDispose(stop)

  return {
    streams: computed(() => list.value.streams),
    /** How many are known to have ended since the list was read. */
    ended: computed(() => list.value.ended.size),
    status,
    hasMore: computed(() => nextPage.value !== null),
    loadingMore,
    loadMore,
  }
}
