import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { again } from './again'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('begins anew when it is over, and later each time until something came', async () => {
  const begins: { came: () => void; over: () => void }[] = []
  const stopped = vi.fn<() => void>()
  const stop = again((came, over) => {
    begins.push({ came, over })
    return stopped
  })
  begins[0]!.over()
  await vi.advanceTimersByTimeAsync(500)
  expect(begins).toHaveLength(2)
  begins[1]!.over()
  await vi.advanceTimersByTimeAsync(499)
  expect(begins).toHaveLength(2)
  await vi.advanceTimersByTimeAsync(501)
  begins[2]!.came()
  begins[2]!.over()
  await vi.advanceTimersByTimeAsync(500)
  expect(begins).toHaveLength(4)
  stop()
  expect(stopped).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(begins).toHaveLength(4)
})
