/** The most channels that one subscription to viewer counts may name. */
export const GROUP_SIZE = 100

/**
 * Spreads the wanted names over groups of at most `size`. Groups that need not change stay the same
 * arrays, so that one stream's start or end re-subscribes one group and not all.
 */
export function regroup(
  groups: readonly (readonly string[])[],
  wanted: readonly string[],
  size = GROUP_SIZE,
): readonly (readonly string[])[] {
  const missing = new Set(wanted)
  const next = groups.map((group) => {
    const kept = group.filter((name) => missing.delete(name))
    return kept.length === group.length ? group : kept
  })
  const rest = [...missing]
  for (let i = 0; i < next.length && rest.length > 0; i++) {
    const group = next[i]!
    if (group.length < size) next[i] = [...group, ...rest.splice(0, size - group.length)]
  }
  while (rest.length > 0) next.push(rest.splice(0, size))
  return next.filter((group) => group.length > 0)
}
