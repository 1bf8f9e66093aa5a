import type { Client } from '@urql/core'
import { useClientHandle } from '@urql/vue'
import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import type { ChannelRowFragment } from '../graphql/graphql'
import { applyToRows } from '../lib/channels'
import { followStreamEvents, readCursor } from '../lib/events'
import { followFeed } from '../lib/feed'
import type { StreamEvent } from '../lib/streams'
import { useFreshness } from './useFreshness'

export interface ChannelPage {
  nodes: ChannelRowFragment[]
  pageInfo: { hasNextPage: boolean; endCursor?: string | null }
}

/**
 * A list of channels, with what each has on the air kept true by events. No event tells of channels that
 * were made, renamed or removed: whoever comes back to the page after a while finds them.
 */
export function useChannelList(
  readPage: (client: Client, after: string | null) => Promise<ChannelPage>,
) {
  const { client } = useClientHandle()
  const channels = shallowRef<readonly ChannelRowFragment[]>([])
  const status = ref<'loading' | 'ready' | 'unreachable'>('loading')
  const next = ref<string | null>(null)
  const asking = ref(false)
  /** What happens while a page is asked for, which may not know it. */
  let seen: StreamEvent[] = []
  /** How often the list was begun anew; a page that was asked for before belongs to the old one. */
  let round = 0
  let isFirstPage = true

  function begin(rows: readonly ChannelRowFragment[]) {
    round++
    isFirstPage = true
    channels.value = rows
  }

  async function ask(after: string | null, take: (rows: readonly ChannelRowFragment[]) => void) {
    if (asking.value) return
    asking.value = true
    seen = []
    const mine = round
    try {
      const page = await readPage(client, after)
      if (mine !== round) return
      take(seen.reduce(applyToRows, page.nodes))
      remember(page)
    } catch {
      // The button stays, and can be pressed again.
    } finally {
      asking.value = false
    }
  }

  function remember({ pageInfo }: ChannelPage) {
    next.value = pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null
  }

  async function loadMore() {
    if (next.value === null) return
    await ask(next.value, (rows) => {
      const known = new Set(channels.value.map(({ id }) => id))
      channels.value = [...channels.value, ...rows.filter(({ id }) => !known.has(id))]
      isFirstPage = false
    })
  }

  // Not once more of it is shown, which would go from under the eyes of whoever reads it.
  useFreshness(() => {
    if (status.value === 'ready' && isFirstPage) void ask(null, begin)
  })

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
        begin(page.nodes)
        remember(page)
        status.value = 'ready'
      },
      apply(event) {
        if (asking.value) seen.push(event)
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
    loadingMore: asking,
    loadMore,
    /** The channels of the list that are on the air. */
    live: computed(() => channels.value.filter(({ stream }) => stream).map(({ loc }) => loc)),
  }
}
