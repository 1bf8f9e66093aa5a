const FIRST_MS = 500
const LONGEST_MS = 20_000

/**
 * How long to wait before try number `attempt` (0 is the first retry). Half of it is chance, so that
 * the viewers of a server that restarts do not all come back in the same instant.
 */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16))
  return full / 2 + (full / 2) * random()
}

/** Waits, but no longer than until the network comes back. */
export function waitOrOnline(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      window.removeEventListener('online', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    window.addEventListener('online', done)
  })
}
