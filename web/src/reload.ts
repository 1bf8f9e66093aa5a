import { setConnection } from './connection'
import { backoff, waitOrOnline } from './lib/backoff'

/** No page is loaded again that is younger: whatever is wrong with it, nobody goes round in a circle. */
const AGE_MS = 10_000

let wanted: string | null = null

async function answers(path: string): Promise<boolean> {
  return fetch(path, { method: 'HEAD', cache: 'no-store' }).then(
    ({ status }) => status < 500,
    () => false,
  )
}

/**
 * For when a part of the pages cannot be had, because the server is away or has newer ones by now:
 * loads an address as a whole once the server answers. The address that was named last counts.
 */
export async function reload(path = window.location.pathname + window.location.search) {
  const isUnderWay = wanted !== null
  wanted = path
  if (isUnderWay) return
  setConnection('lost')
  for (let attempt = 0; ; attempt++) {
    const young = AGE_MS - performance.now()
    if (attempt > 0 || young > 0) await waitOrOnline(Math.max(young, backoff(attempt)))
    if (wanted === null) return
    if (await answers(wanted)) break
  }
  window.location.assign(wanted)
}

/** Stays on the page after all: somebody went where they could go. */
export function stay() {
  if (wanted === null) return
  wanted = null
  setConnection('fine')
}
