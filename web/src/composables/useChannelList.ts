import type { Client } from '@urql/core'
import { useClientHandle } from '@urql/vue'
import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import type { ChannelRowFragment } from '../graphql/graphql'
import { applyToRows } from '../lib/channels'
import { followStreamEvents, readCursor } from '../lib/events'
import { followFeed } from '../lib/feed'
import type { StreamEvent } from '../lib/streams'

export interface ChannelPage {
  nodes: ChannelRowFragment[]
  pageInfo: { hasNextPage: boolean; endCursor?: string | null }
}

/** A list of channels, with what each has on the air kept true by events. */
export function useChannelList(
  readPage: (client: Client, after: string | null) => Promise<ChannelPage>,
) {
  const { client } = useClientHandle()
  const channels = shallowRef<readonly ChannelRowFragment[]>([])
  const status = ref<'loading' | 'ready' | 'unreachable'>('loading')
  const next = ref<string | null>(null)
  const loadingMore = ref(false)
  /** What happens while a page is asked for, which may not know it. */
  let seen: StreamEvent[] = []

  function remember({ pageInfo }: ChannelPage) {
    next.value = pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null
  }

  async function loadMore() {
    const asked = next.value
    if (asked === null || loadingMore.value) return
    loadingMore.value = true
    seen = []
    try {
      const page = await readPage(client, asked)
      // The list may have been read anew meanwhile; this page then belongs to the old one.
      if (next.value !== asked) return
      const known = new Set(channels.value.map(({ id }) => id))
      const added = page.nodes.filter(({ id }) => !known.has(id))
      channels.value = [...channels.value, ...seen.reduce(applyToRows, added)]
      remember(page)
    } catch {
      // The button stays, and can be pressed again.
    } finally {
      loadingMore.value = false
    }
  }

  const stop = followFeed<ChannelPage, StreamEvent>(
    {
      snapshot: async () => {
        const cursor = await readCursor(client)
        return { state: await readPage(client, null), cursor }
      },
      follow: (cursor, sink) => followStreamEvents(client, undefined, cursor, sink),
    },
    {
      reset(page) {
        channels.value = page.nodes
        remember(page)
        status.value = 'ready'
      },
      apply(event) {
        if (loadingMore.value) seen.push(event)
        channels.value = applyToRows(channels.value, event)
      },
      unreachable() {
        if (status.value === 'loading') status.value = 'unreachable'
      },
    },
  )
  onScopeDispose(stop)

  return {
    channels,
    status,
    hasMore: computed(() => next.value !== null),
    loadingMore,
    loadMore,
    /** The channels of the list that are on the air. */
    live: computed(() => channels.value.filter(({ stream }) => stream).map(({ loc }) => loc)),
  }
}
