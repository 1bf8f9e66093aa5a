import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import { TopicsDocument, type TopicsQuery } from '../graphql/graphql'
import { backoff } from '../lib/backoff'

/** The topics on offer, by name; none until they are read. */
export function useTopics() {
  const { client } = useClientHandle()
  const topics = shallowRef<TopicsQuery['topics']>([])
  let gone = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function read(attempt = 0) {
    const { data } = await client.query(TopicsDocument, {}).toPromise()
    if (gone) return
    if (data) topics.value = data.topics
    else timer = setTimeout(() => void read(attempt + 1), backoff(attempt))
  }
  void read()
  onScopeDispose(() => {
    gone = true
    clearTimeout(timer)
  })
  return { topics, refresh: () => read() }
}
