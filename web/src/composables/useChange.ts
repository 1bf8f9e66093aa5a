import type { AnyVariables, TypedDocumentNode } from '@urql/core'
import { useClientHandle } from '@urql/vue'
import { ref, shallowRef } from 'vue'
import { failureOf, type Failure } from '../lib/failure'

/** A change that somebody asks for: one at a time, with what became of the last one. */
export function useChange<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
) {
  const { client } = useClientHandle()
  const busy = ref(false)
  const failure = shallowRef<Failure | null>(null)

  /** The answer, or null when it failed or another one is under way. */
  async function run(variables: Variables): Promise<Data | null> {
    if (busy.value) return null
    busy.value = true
    failure.value = null
    const { data, error } = await client.mutation(document, variables).toPromise()
    busy.value = false
    if (error || !data) {
      failure.value = failureOf(error)
      return null
    }
    return data
  }

  return { busy, failure, run }
}
