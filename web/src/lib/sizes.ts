/** One of the sizes that a stream comes in, as the player's engine tells of it. */
export interface Size {
  height?: number
  /** Whether the engine may choose it; with `on`, from now on. */
  enabled(on?: boolean): boolean
}

/** The height that somebody chose, or null to let the player choose: until the page is closed, for every stream. */
export const choice: { height: number | null } = { height: null }

/** The heights that there are, the largest first. */
export function heightsOf(sizes: readonly Size[]): number[] {
  const heights = new Set(sizes.flatMap(({ height }) => height ?? []))
  return [...heights].sort((a, b) => b - a)
}

/** Leaves the engine that height alone, or all of them where there is none of that height. */
export function keepTo(sizes: readonly Size[], height: number | null) {
  const isOfHeight = (size: Size) => size.height === height
  const isWanted = sizes.some(isOfHeight) ? isOfHeight : () => true
  if (sizes.every((size) => size.enabled() === isWanted(size))) return
  const wanted = sizes.filter(isWanted)
  const open = wanted.filter((size) => size.enabled())
  for (const size of sizes) if (!isWanted(size)) size.enabled(false)
  for (const size of wanted) size.enabled(true)
  // The engine goes at once to whatever was allowed last. So those come last that were allowed before: one
  // that is chosen out of all is gone to, and what plays goes on when all are allowed again.
  for (const size of open) {
    size.enabled(false)
    size.enabled(true)
  }
}
