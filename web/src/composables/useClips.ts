import { useClientHandle } from '@urql/vue'
import { ref } from 'vue'
import { ClipsDocument, type ClipFragment } from '../graphql/graphql'
import { useFreshness } from './useFreshness'
import { usePages } from './usePages'

const PAGE_SIZE = 12

/** A channel's clips, the newest first; those of others are seen by whoever comes back to the page. */
export function useClips(loc: string) {
  const { client } = useClientHandle()
  const isProtected = ref(false)
  const { items, refresh, ...rest } = usePages<ClipFragment>(PAGE_SIZE, async (first, after) => {
    const { data } = await client.query(ClipsDocument, { loc, first, after }).toPromise()
    if (data?.channel) isProtected.value = data.channel.protected
    return data?.channel?.clips ?? null
  })
  useFreshness(refresh)
  return { clips: items, isProtected, refresh, ...rest }
}
