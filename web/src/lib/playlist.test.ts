import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { untilPlaylist } from './playlist'

describe('waiting for a playlist', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  const answering = (...statuses: (number | 'away')[]) =>
    vi.fn<typeof fetch>(async () => {
      const status = statuses.shift() ?? 404
      if (status === 'away') throw new TypeError('network')
      return new Response(null, { status })
    })

  it('asks until the stream has one, through errors of every kind', async () => {
    const get = answering(404, 'away', 502, 200)
    const answer = untilPlaylist('/live/x', new AbortController().signal, get)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await answer).toBe('ready')
    expect(get).toHaveBeenCalledTimes(4)
  })

  it('says when the URL itself is refused', async () => {
    const { signal } = new AbortController()
    expect(await untilPlaylist('/live/x', signal, answering(403))).toBe('refused')
  })

  it('stops asking when nobody waits any more', async () => {
    const controller = new AbortController()
    const get = answering()
    const answer = untilPlaylist('/live/x', controller.signal, get)
    await vi.advanceTimersByTimeAsync(100)
    controller.abort()
    expect(await answer).toBe('aborted')
    await vi.advanceTimersByTimeAsync(10_000)
    expect(get).toHaveBeenCalledOnce()
  })
})
