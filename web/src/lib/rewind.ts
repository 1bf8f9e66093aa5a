/** As much of a player as it takes to say where it is. */
export interface Placed {
  currentTime(): number | undefined
  seekable(): { length: number; start(index: number): number; end(index: number): number }
}

/** What can be sought, from when to when; null while nothing can. */
function range(player: Placed): { start: number; end: number } | null {
  const seekable = player.seekable()
  const last = seekable.length - 1
  return last < 0 ? null : { start: seekable.start(0), end: seekable.end(last) }
}

/** How far behind the newest picture the player is, in seconds. */
export function behind(player: Placed): number {
  const all = range(player)
  return all ? Math.max(0, all.end - (player.currentTime() ?? all.end)) : 0
}

/** Where in the list to be, to be so far behind the newest picture, or at the list's beginning. */
export function placeBehind(player: Placed, seconds: number): number | null {
  const all = range(player)
  return all && Math.max(all.start, all.end - seconds)
}
