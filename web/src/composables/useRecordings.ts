import { useClientHandle } from '@urql/vue'
import { onScopeDispose, ref, shallowRef, watch } from 'vue'
import { connection } from '../connection'
import {
  RecordingChangedDocument,
  RecordingsDocument,
  type RecordingFragment,
} from '../graphql/graphql'
import { again } from '../lib/again'
import { backoff } from '../lib/backoff'
import { listen } from '../lib/listen'

const PAGE_SIZE = 12

/** A channel's recordings, the newest first, as far as whoever looks may see them; kept true as they change. */
export function useRecordings(loc: string) {
  const { client } = useClientHandle()
  const recordings = shallowRef<readonly RecordingFragment[] | null>(null)
  const next = ref<string | null>(null)
  const isProtected = ref(false)
  const loading = ref(false)
  let round = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  async function page(first: number, after: string | null) {
    const { data } = await client.query(RecordingsDocument, { loc, first, after }).toPromise()
    if (data?.channel) isProtected.value = data.channel.protected
    return data?.channel?.recordings ?? null
  }

  async function read(attempt = 0) {
    const mine = ++round
    clearTimeout(timer)
    // As many as are shown, so that what was loaded further down stays.
    const wanted = Math.min(100, Math.max(PAGE_SIZE, recordings.value?.length ?? 0))
    const found = await page(wanted, null)
    if (mine !== round) return
    if (!found) {
      timer = setTimeout(() => void read(attempt + 1), backoff(attempt))
      return
    }
    recordings.value = found.nodes
    next.value = found.pageInfo.hasNextPage ? (found.pageInfo.endCursor ?? null) : null
  }

  async function more() {
    if (loading.value) return
    loading.value = true
    const mine = round
    const found = await page(PAGE_SIZE, next.value)
    loading.value = false
    if (!found || mine !== round) return
    recordings.value = [...(recordings.value ?? []), ...found.nodes]
    next.value = found.pageInfo.hasNextPage ? (found.pageInfo.endCursor ?? null) : null
  }

  /** Changes the one that is shown; one that is new here stands in its place once the list is read. */
  function apply(changed: RecordingFragment) {
    const known = recordings.value?.some(({ id }) => id === changed.id)
    if (!known) return void read()
    recordings.value = recordings.value?.map((it) => (it.id === changed.id ? changed : it)) ?? null
  }

  void read()
  // The subscription heals by itself, but tells nothing of what changed meanwhile.
  watch(connection, (now) => {
    if (now === 'fine') void read()
  })
  const stop = again((came, over) =>
    listen(
      client,
      RecordingChangedDocument,
      { loc },
      {
        data: ({ recordingChanged }) => {
          came()
          apply(recordingChanged)
        },
        // What changed meanwhile was not told.
        over: () => {
          over()
          void read()
        },
      },
    ),
  )
  onScopeDispose(() => {
    round++
    clearTimeout(timer)
    stop()
  })
  return { recordings, isProtected, next, loading, more, refresh: () => read() }
}
