import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { answered, backoff, waitOrOnline } from './backoff'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('waits longer each time, up to a bound, and half of it by chance', () => {
  const waits = [0, 1, 2, 20].map((attempt) => [
    backoff(attempt, () => 0),
    backoff(attempt, () => 1),
  ])
  expect(waits).toEqual([
    [250, 500],
    [500, 1_000],
    [1_000, 2_000],
    [10_000, 20_000],
  ])
})

it('waits no longer than until the network is back, or the server has answered', async () => {
  for (const wake of [() => window.dispatchEvent(new Event('online')), answered]) {
    const done = vi.fn<() => void>()
    void waitOrOnline(20_000).then(done)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(done).not.toHaveBeenCalled()
    wake()
    await vi.advanceTimersByTimeAsync(0)
    expect(done).toHaveBeenCalledOnce()
  }
})
