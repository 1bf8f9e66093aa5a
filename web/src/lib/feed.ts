import { backoff } from './backoff'

/** Why following stopped: the server does not know the cursor any more, or anything else. */
export type Failure = 'refused' | 'lost'

export interface Sink<E> {
  event(event: E): void
  failed(why: Failure): void
}

export interface FeedSource<S, E> {
  /** Reads the present state and a cursor no newer than it. */
  snapshot(): Promise<{ state: S; cursor: string }>
  /**
   * Follows the events after the cursor. The transport reconnects by itself, and must ask `cursor`
   * again each time it does: it is the last one seen by then.
   */
  follow(cursor: () => string, sink: Sink<E>): () => void
}

export interface FeedHandlers<S, E> {
  reset(state: S): void
  apply(event: E): void
  /** The snapshot could not be read; it is tried again without end. */
  unreachable?(): void
}

/**
 * Keeps a copy of something that lives on the server: a snapshot, then every event after it, none
 * missing. A lost connection goes on from the last event seen; only when the server refuses that
 * cursor is the snapshot read anew. Answers how to stop.
 */
export function followFeed<S, E extends { cursor: string }>(
  source: FeedSource<S, E>,
  handlers: FeedHandlers<S, E>,
): () => void {
  let stopped = false
  let attempt = 0
  let refusals = 0
  let cursor = ''
  let unfollow = () => {}
  let timer: ReturnType<typeof setTimeout> | undefined

  const later = (step: () => void, ms: number) => {
    timer = setTimeout(step, ms)
  }

  async function read() {
    try {
      const snapshot = await source.snapshot()
      if (stopped) return
      attempt = 0
      cursor = snapshot.cursor
      handlers.reset(snapshot.state)
      follow()
    } catch {
      if (stopped) return
      handlers.unreachable?.()
      later(read, backoff(attempt++))
    }
  }

  function follow() {
    let over = false
    const stop = source.follow(() => cursor, {
      event(event) {
        if (over || stopped) return
        attempt = 0
        refusals = 0
        cursor = event.cursor
        handlers.apply(event)
      },
      failed(why) {
        if (over || stopped) return
        over = true
        unfollow()
        if (why === 'lost') return later(follow, backoff(attempt++))
        // The first refusal is answered at once; a server that refuses even fresh cursors is not hammered.
        later(read, refusals === 0 ? 0 : backoff(refusals))
        refusals++
      },
    })
    unfollow = () => {
      unfollow = () => {}
      stop()
    }
  }

  void read()
  return () => {
    stopped = true
    clearTimeout(timer)
    unfollow()
  }
}
