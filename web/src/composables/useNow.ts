import { onScopeDispose, readonly, ref } from 'vue'

/** The time, ticking while the page can be seen: for ages and for pictures that grow old. */
export function useNow(everyMs: number) {
  const now = ref(Date.now())
  const timer = setInterval(() => {
    if (!document.hidden) now.value = Date.now()
  }, everyMs)
  onScopeDispose(() => clearInterval(timer))
  return readonly(now)
}
