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

const waiting = new Set<() => void>()

/** Waits, but no longer than until the network comes back, or the server has answered something else. */
export function waitOrOnline(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      window.removeEventListener('online', done)
      waiting.delete(done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    window.addEventListener('online', done)
    waiting.add(done)
  })
}

/** The server has answered: nobody need wait for it any longer. */
export function answered() {
  for (const done of waiting) done()
}
