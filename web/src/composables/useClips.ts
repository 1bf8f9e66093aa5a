import { useClientHandle } from '@urql/vue'
import { ref } from 'vue'
import { ClipsDocument, type ClipFragment } from '../graphql/graphql'
import { usePages } from './usePages'

const PAGE_SIZE = 12

/** A channel's clips, the newest first. */
export function useClips(loc: string) {
  const { client } = useClientHandle()
  const isProtected = ref(false)
  const { items, ...rest } = usePages<ClipFragment>(PAGE_SIZE, async (first, after) => {
    const { data } = await client.query(ClipsDocument, { loc, first, after }).toPromise()
    if (data?.channel) isProtected.value = data.channel.protected
    return data?.channel?.clips ?? null
  })
  return { clips: items, isProtected, ...rest }
}
