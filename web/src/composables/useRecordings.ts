import { useClientHandle } from '@urql/vue'
import { onScopeDispose, ref, watch } from 'vue'
import { connection } from '../connection'
import {
  RecordingChangedDocument,
  RecordingsDocument,
  type RecordingFragment,
} from '../graphql/graphql'
import { again } from '../lib/again'
import { listen } from '../lib/listen'
import { useFreshness } from './useFreshness'
import { usePages } from './usePages'

const PAGE_SIZE = 12

/** A channel's recordings, the newest first, as far as whoever looks may see them; kept true as they change. */
export function useRecordings(loc: string) {
  const { client } = useClientHandle()
  const isProtected = ref(false)
  const { items, next, loading, more, refresh } = usePages<RecordingFragment>(
    PAGE_SIZE,
    async (first, after) => {
      const { data } = await client.query(RecordingsDocument, { loc, first, after }).toPromise()
      if (data?.channel) isProtected.value = data.channel.protected
      return data?.channel?.recordings ?? null
    },
  )

  /** Changes the one that is shown; one that is new here stands in its place once the list is read. */
  function apply(changed: RecordingFragment) {
    const known = items.value?.some(({ id }) => id === changed.id)
    if (!known) return refresh()
    items.value = items.value?.map((it) => (it.id === changed.id ? changed : it)) ?? null
  }

  // The subscription heals by itself, but tells nothing of what changed meanwhile.
  watch(connection, (now) => {
    if (now === 'fine') refresh()
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
          refresh()
        },
      },
    ),
  )
  onScopeDispose(stop)
  // Nor is told what was deleted, or taken back.
  useFreshness(refresh)
  return { recordings: items, isProtected, next, loading, more, refresh }
}
