import { useClientHandle } from '@urql/vue'
import { onScopeDispose, watch } from 'vue'
import { connection } from '../connection'
import {
  SimulcastChangedDocument,
  SimulcastTargetsDocument,
  type SimulcastTargetFragment,
} from '../graphql/graphql'
import { again } from '../lib/again'
import { listen } from '../lib/listen'
import { usePages } from './usePages'

/** How many targets a channel may have. */
export const MOST_TARGETS = 8

/** Where else a channel's broadcasts go, in the order in which it was said; kept true as they change. */
export function useSimulcast(loc: string) {
  const { client } = useClientHandle()
  /** What was told while the list was being read: newer than what is read. */
  const told = new Map<string, SimulcastTargetFragment>()
  const { items, refresh } = usePages<SimulcastTargetFragment>(MOST_TARGETS, async () => {
    told.clear()
    const { data } = await client.query(SimulcastTargetsDocument, { loc }).toPromise()
    const targets = data?.channel?.simulcastTargets
    if (!targets) return null
    return {
      nodes: targets.map((target) => told.get(target.id) ?? target),
      pageInfo: { hasNextPage: false },
    }
  })

  /** Changes the one that is shown; one that is new here stands in its place once the list is read. */
  function apply(changed: SimulcastTargetFragment) {
    told.set(changed.id, changed)
    const known = items.value?.some(({ id }) => id === changed.id)
    if (!known) return refresh()
    items.value = items.value?.map((it) => (it.id === changed.id ? changed : it)) ?? null
  }

  const follow = () =>
    again((came, over) =>
      listen(
        client,
        SimulcastChangedDocument,
        { loc },
        {
          data: ({ simulcastChanged }) => {
            came()
            apply(simulcastChanged)
          },
          // What was removed meanwhile was not told.
          over: () => {
            over()
            refresh()
          },
        },
      ),
    )
  let stop = () => {}
  // First the list: the subscription begins with all of it, and none of that is then new.
  watch(items, () => (stop = follow()), { once: true })
  // The subscription heals by itself, but tells nothing of what was removed meanwhile.
  watch(connection, (now) => {
    if (now === 'fine') refresh()
  })
  onScopeDispose(() => stop())
  return { targets: items, refresh }
}
