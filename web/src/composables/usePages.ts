import { onScopeDispose, ref, shallowRef } from 'vue'
import { backoff } from '../lib/backoff'

export interface Page<Item> {
  nodes: readonly Item[]
  pageInfo: { hasNextPage: boolean; endCursor?: string | null }
}

/**
 * A list that grows page by page. `read` answers null when there is no answer: the first page is asked
 * for until there is one, a further one when the button is pressed again.
 */
export function usePages<Item>(
  size: number,
  read: (first: number, after: string | null) => Promise<Page<Item> | null>,
) {
  const items = shallowRef<readonly Item[] | null>(null)
  const next = ref<string | null>(null)
  const loading = ref(false)
  /** Whether the last try to read the list was in vain. */
  const unreachable = ref(false)
  let round = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  function remember({ pageInfo }: Page<Item>) {
    next.value = pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null
  }

  async function begin(first: number, attempt = 0) {
    const mine = ++round
    clearTimeout(timer)
    const found = await read(first, null)
    if (mine !== round) return
    unreachable.value = !found
    if (!found) {
      timer = setTimeout(() => void begin(first, attempt + 1), backoff(attempt))
      return
    }
    items.value = found.nodes
    remember(found)
  }

  /** Reads it anew: as many as are shown, so that what was loaded further down stays. */
  function refresh() {
    void begin(Math.min(100, Math.max(size, items.value?.length ?? 0)))
  }

  /** Reads another list in its place: what is asked for is something else now. */
  function restart() {
    void begin(size)
  }

  async function more() {
    if (loading.value) return
    loading.value = true
    const mine = round
    const found = await read(size, next.value)
    loading.value = false
    if (!found || mine !== round) return
    items.value = [...(items.value ?? []), ...found.nodes]
    remember(found)
  }

  restart()
  onScopeDispose(() => {
    round++
    clearTimeout(timer)
  })
  return { items, next, loading, unreachable, more, refresh, restart }
}
