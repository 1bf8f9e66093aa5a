import { useClientHandle } from '@urql/vue'
import { onScopeDispose, reactive, watch, type Ref } from 'vue'
import { ViewerCountsDocument, type ViewerCountsSubscription } from '../graphql/graphql'
import { backoff } from '../lib/backoff'
import { regroup } from '../lib/groups'
import { listen } from '../lib/listen'

/** Changes of the set that come within this time are answered with one new subscription. */
const SETTLE_MS = 150

export type Audience = ViewerCountsSubscription['viewerCountChanged']

/** The present audience of each channel named, by loc; a channel not heard of yet is absent. */
export function useViewerCounts(locs: Ref<readonly string[]>): ReadonlyMap<string, Audience> {
  const { client } = useClientHandle()
  const counts = reactive(new Map<string, Audience>())
  const running = new Map<readonly string[], () => void>()

  function follow(group: readonly string[]): () => void {
    let attempt = 0
    let timer: ReturnType<typeof setTimeout> | undefined
    let stop = () => {}
    const begin = () => {
      stop = listen(
        client,
        ViewerCountsDocument,
        { locs: [...group] },
        {
          data: ({ viewerCountChanged }) => {
            attempt = 0
            counts.set(viewerCountChanged.loc, viewerCountChanged)
          },
          over: () => {
            timer = setTimeout(begin, backoff(attempt++))
          },
        },
      )
    }
    begin()
    return () => {
      clearTimeout(timer)
      stop()
    }
  }

  function subscribe(wanted: readonly string[]) {
    const groups = regroup([...running.keys()], wanted)
    for (const [group, stop] of running) {
      if (groups.includes(group)) continue
      stop()
      running.delete(group)
    }
    for (const group of groups) {
      if (!running.has(group)) running.set(group, follow(group))
    }
    const known = new Set(wanted)
    for (const loc of counts.keys()) if (!known.has(loc)) counts.delete(loc)
  }

  let settle: ReturnType<typeof setTimeout> | undefined
  watch(
    () => [...new Set(locs.value)].sort().join(' '),
    (names) => {
      clearTimeout(settle)
      settle = setTimeout(() => subscribe(names === '' ? [] : names.split(' ')), SETTLE_MS)
    },
    { immediate: true },
  )
  onScopeDispose(() => {
    clearTimeout(settle)
    for (const stop of running.values()) stop()
    running.clear()
  })
  return counts
}
