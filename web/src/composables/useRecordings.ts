import { useClientHandle } from '@urql/vue'
import { onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue'
import { RecordingsDocument, type RecordingFragment } from '../graphql/graphql'
import { backoff } from '../lib/backoff'

const PAGE_SIZE = 12
/** There is no event for a recording that gets ready: while one is being made, it is looked after. */
const MAKING_MS = 5_000

/** A channel's recordings, the newest first; read anew whenever `onAir` changes. */
export function useRecordings(loc: string, onAir: Ref<string | null>) {
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
    const making = found.nodes.some(({ state }) => state === 'RECORDING' || state === 'PROCESSING')
    if (making) timer = setTimeout(() => void read(), MAKING_MS)
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

  watch(onAir, () => void read(), { immediate: true })
  onScopeDispose(() => {
    round++
    clearTimeout(timer)
  })
  return { recordings, isProtected, next, loading, more, refresh: () => read() }
}
