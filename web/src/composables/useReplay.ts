import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef, watch, type Ref } from 'vue'
import { ReplayDocument } from '../graphql/graphql'

/** What is over and was chosen to be watched. */
export interface Replay {
  kind: 'recording' | 'clip'
  id: string
}

/** What such a one is called, and of when it is; of a clip also who made it. */
export interface ReplayWords {
  name: string
  at: string
  creator: string | null
}

/** What is to be said of what was chosen; null until that is known. */
export function useReplay(chosen: Ref<Replay | null>) {
  const { client } = useClientHandle()
  const words = shallowRef<ReplayWords | null>(null)
  let gone = false
  onScopeDispose(() => (gone = true))
  watch(
    () => chosen.value?.id ?? null,
    async (id) => {
      words.value = null
      if (!id) return
      const { data } = await client.query(ReplayDocument, { id }).toPromise()
      if (gone || chosen.value?.id !== id) return
      const found = data?.node
      if (found?.__typename === 'Recording')
        words.value = { name: found.name, at: found.startedAt, creator: null }
      if (found?.__typename === 'Clip')
        words.value = { name: found.title, at: found.createdAt, creator: found.creator.id }
    },
    { immediate: true },
  )
  return words
}
