import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { untilTall } from './scroll'

let resized = () => {}
const disconnected = vi.fn<() => void>()
const grow = (height: number) => {
  vi.spyOn(document.documentElement, 'scrollHeight', 'get').mockReturnValue(height)
  resized()
}

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('innerHeight', 800)
  vi.stubGlobal(
    'ResizeObserver',
    class {
      constructor(told: () => void) {
        resized = told
      }
      observe = () => resized()
      disconnect = disconnected
    },
  )
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
})

it('waits until there is so much to scroll', async () => {
  const tall = vi.fn<() => void>()
  grow(800)
  void untilTall(500).then(tall)
  grow(1_200)
  await vi.advanceTimersByTimeAsync(100)
  expect(tall).not.toHaveBeenCalled()
  grow(1_300)
  await vi.advanceTimersByTimeAsync(0)
  expect(tall).toHaveBeenCalledOnce()
  expect(disconnected).toHaveBeenCalled()
})

it('waits no longer than what a page shows takes to come', async () => {
  const tall = vi.fn<() => void>()
  grow(800)
  void untilTall(500).then(tall)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(tall).toHaveBeenCalledOnce()
})
