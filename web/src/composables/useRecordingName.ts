import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef, watch, type Ref } from 'vue'
import { RecordingNameDocument } from '../graphql/graphql'

/** What a recording is called and when it was broadcast; null until that is known. */
export function useRecordingName(id: Ref<string | null>) {
  const { client } = useClientHandle()
  const recording = shallowRef<{ name: string; startedAt: string } | null>(null)
  let gone = false
  onScopeDispose(() => (gone = true))
  watch(
    id,
    async (wanted) => {
      recording.value = null
      if (!wanted) return
      const { data } = await client.query(RecordingNameDocument, { id: wanted }).toPromise()
      if (gone || id.value !== wanted || data?.node?.__typename !== 'Recording') return
      recording.value = data.node
    },
    { immediate: true },
  )
  return recording
}
