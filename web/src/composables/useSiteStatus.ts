import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import { SiteStatusDocument, type SiteStatusQuery } from '../graphql/graphql'
import { failureOf, type Failure } from '../lib/failure'

export type SiteStatus = NonNullable<SiteStatusQuery['siteStatus']>

const EVERY_MS = 10_000

/** How the parts of the site are: asked again while the page can be seen, once the last answer is there. */
export function useSiteStatus() {
  const { client } = useClientHandle()
  const status = shallowRef<SiteStatus | null>(null)
  const failure = shallowRef<Failure | null>(null)
  let gone = false
  let timer: ReturnType<typeof setTimeout> | undefined

  async function read() {
    if (!document.hidden) {
      const { data, error } = await client.query(SiteStatusDocument, {}).toPromise()
      if (gone) return
      status.value = data?.siteStatus ?? status.value
      failure.value = data?.siteStatus ? null : failureOf(error)
    }
    timer = setTimeout(() => void read(), EVERY_MS)
  }
  void read()
  onScopeDispose(() => {
    gone = true
    clearTimeout(timer)
  })
  return { status, failure }
}
