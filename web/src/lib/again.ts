import { backoff } from './backoff'

/**
 * Begins something, and begins it anew after a while whenever it is over: longer each time, until
 * something has come of it. `begin` answers how to stop. So does this.
 */
export function again(begin: (came: () => void, over: () => void) => () => void): () => void {
  let attempt = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let stop = () => {}
  const start = () => {
    stop = begin(
      () => (attempt = 0),
      () => (timer = setTimeout(start, backoff(attempt++))),
    )
  }
  start()
  return () => {
    clearTimeout(timer)
    stop()
  }
}
