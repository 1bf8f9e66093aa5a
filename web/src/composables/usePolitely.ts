import { onScopeDispose, ref, watch, type Ref } from 'vue'

/**
 * What a screen reader is to be told of something that moves: the newest words, but no oftener than
 * that, and not those of the beginning, which the page says anyway.
 */
export function usePolitely(words: Ref<string>, everyMs: number): Readonly<Ref<string>> {
  const said = ref('')
  let timer: ReturnType<typeof setTimeout> | undefined
  watch(words, () => {
    timer ??= setTimeout(() => {
      timer = undefined
      said.value = words.value
    }, everyMs)
  })
  onScopeDispose(() => clearTimeout(timer))
  return said
}
