import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { followFeed, type Sink } from './feed'

interface Event {
  cursor: string
  what: string
}

/** A server whose answers the test gives, and which notes what it is asked. */
function serve(...snapshots: (string | Error)[]) {
  const seen: string[] = []
  const cursors: (() => string)[] = []
  const sinks: Sink<Event>[] = []
  const unfollow = vi.fn<() => void>()
  const stop = followFeed<string, Event>(
    {
      snapshot: async () => {
        const next = snapshots.shift() ?? new Error('no more')
        if (next instanceof Error) throw next
        return { state: `list at ${next}`, cursor: next }
      },
      follow: (cursor, sink) => {
        cursors.push(cursor)
        sinks.push(sink)
        seen.push(`follow ${cursor()}`)
        return unfollow
      },
    },
    {
      reset: (state) => seen.push(state),
      apply: (event) => seen.push(event.what),
      unreachable: () => seen.push('unreachable'),
    },
  )
  return { seen, cursors, sinks, unfollow, stop }
}

describe('following a feed', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('reads the list, then follows what comes after it', async () => {
    const { seen, sinks } = serve('1')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.event({ cursor: '2', what: 'started' })
    expect(seen).toEqual(['list at 1', 'follow 1', 'started'])
  })

  it('offers a reconnecting transport the last cursor seen', async () => {
    const { cursors, sinks } = serve('1')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.event({ cursor: '7', what: 'started' })
    expect(cursors[0]!()).toBe('7')
  })

  it('goes on from the last cursor, without a new list, when the subscription breaks', async () => {
    const { seen, sinks } = serve('1')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.event({ cursor: '7', what: 'started' })
    sinks[0]!.failed('lost')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(seen).toEqual(['list at 1', 'follow 1', 'started', 'follow 7'])
  })

  it('reads the list anew when the server refuses the cursor', async () => {
    const { seen, sinks } = serve('1', '50')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.failed('refused')
    await vi.advanceTimersByTimeAsync(0)
    expect(seen).toEqual(['list at 1', 'follow 1', 'list at 50', 'follow 50'])
  })

  it('does not hammer a server that refuses even a fresh cursor', async () => {
    const { seen, sinks } = serve('1', '2', '3')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.failed('refused')
    await vi.advanceTimersByTimeAsync(0)
    sinks[1]!.failed('refused')
    await vi.advanceTimersByTimeAsync(100)
    expect(seen).not.toContain('list at 3')
    await vi.advanceTimersByTimeAsync(2_000)
    expect(seen).toContain('list at 3')
  })

  it('keeps trying while the list cannot be read', async () => {
    const { seen } = serve(new Error('down'), new Error('down'), '1')
    await vi.advanceTimersByTimeAsync(5_000)
    expect(seen).toEqual(['unreachable', 'unreachable', 'list at 1', 'follow 1'])
  })

  it('ignores a subscription that it has given up', async () => {
    const { seen, sinks } = serve('1')
    await vi.advanceTimersByTimeAsync(0)
    sinks[0]!.failed('lost')
    sinks[0]!.event({ cursor: '9', what: 'late' })
    sinks[0]!.failed('lost')
    await vi.advanceTimersByTimeAsync(1_000)
    expect(seen).toEqual(['list at 1', 'follow 1', 'follow 1'])
  })

  it('stops for good', async () => {
    const { seen, sinks, unfollow, stop } = serve('1')
    await vi.advanceTimersByTimeAsync(0)
    stop()
    expect(unfollow).toHaveBeenCalledOnce()
    sinks[0]!.event({ cursor: '2', what: 'late' })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(seen).toEqual(['list at 1', 'follow 1'])
  })
})
