/** What is made of a stream that ended is there after some seconds, of a long one after a minute. */
const LOOKS_MS = [10_000, 60_000] as const
/** Whoever looks away for a shorter time finds the page as they left it. */
const AWAY_MS = 30_000

/**
 * Calls `read` when what was read before may not be true any more: some time after `due`, twice, and
 * when the page is looked at again after a while. Not while nobody looks, and not at the same moment
 * in all browsers: half as much again is chance.
 */
export function freshness(read: () => void, random: () => number = Math.random) {
  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  let hiddenSince = document.hidden ? Date.now() : null
  let missed = false

  function look() {
    if (document.hidden) missed = true
    else read()
  }

  function due() {
    for (const ms of LOOKS_MS) {
      // One that is on its way is enough: on a busy site it would never come otherwise.
      if (timers.has(ms)) continue
      const fire = () => {
        timers.delete(ms)
        look()
      }
      timers.set(ms, setTimeout(fire, ms + (ms / 2) * random()))
    }
  }

  function turned() {
    if (document.hidden) {
      hiddenSince = Date.now()
      return
    }
    const away = hiddenSince === null ? 0 : Date.now() - hiddenSince
    hiddenSince = null
    if (!missed && away < AWAY_MS) return
    missed = false
    read()
  }

  document.addEventListener('visibilitychange', turned)
  return {
    due,
    stop() {
      document.removeEventListener('visibilitychange', turned)
      for (const timer of timers.values()) clearTimeout(timer)
    },
  }
}
