import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { freshness } from './freshness'

let hidden = false
function look(away: boolean) {
  hidden = away
  document.dispatchEvent(new Event('visibilitychange'))
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(document, 'hidden', 'get').mockImplementation(() => hidden)
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  hidden = false
})

it('reads twice after something was due, however often that is', async () => {
  const read = vi.fn<() => void>()
  const { due, stop } = freshness(read, () => 0.5)
  due()
  await vi.advanceTimersByTimeAsync(12_000)
  due()
  expect(read).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(500)
  expect(read).toHaveBeenCalledTimes(1)
  await vi.advanceTimersByTimeAsync(62_500)
  expect(read).toHaveBeenCalledTimes(2)
  await vi.advanceTimersByTimeAsync(600_000)
  expect(read).toHaveBeenCalledTimes(2)
  stop()
})

it('reads when somebody comes back after a while, and not after a glance elsewhere', async () => {
  const read = vi.fn<() => void>()
  const { stop } = freshness(read)
  look(true)
  await vi.advanceTimersByTimeAsync(29_000)
  look(false)
  expect(read).not.toHaveBeenCalled()
  look(true)
  await vi.advanceTimersByTimeAsync(30_000)
  look(false)
  expect(read).toHaveBeenCalledTimes(1)
  stop()
})

it('reads nothing while nobody looks, and what was missed as soon as somebody does', async () => {
  const read = vi.fn<() => void>()
  const { due, stop } = freshness(read, () => 0)
  due()
  await vi.advanceTimersByTimeAsync(9_000)
  look(true)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(read).not.toHaveBeenCalled()
  look(false)
  expect(read).toHaveBeenCalledTimes(1)
  stop()
})

it('is over when it is stopped', async () => {
  const read = vi.fn<() => void>()
  const { due, stop } = freshness(read)
  due()
  stop()
  look(true)
  await vi.advanceTimersByTimeAsync(600_000)
  look(false)
  expect(read).not.toHaveBeenCalled()
})
