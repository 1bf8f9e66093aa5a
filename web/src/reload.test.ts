import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { connection } from './connection'
import { reload, stay } from './reload'

const answer = vi.fn<() => Promise<Response>>()
const went = vi.fn<(path: string) => void>()
const away = () => Promise.resolve(new Response(null, { status: 503 }))
const there = () => Promise.resolve(new Response())

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(performance, 'now').mockReturnValue(60_000)
  vi.spyOn(window.location, 'assign').mockImplementation((to) => went(String(to)))
  vi.stubGlobal('fetch', answer)
  answer.mockImplementation(there)
})
afterEach(() => {
  stay()
  vi.useRealTimers()
  vi.unstubAllGlobals()
  vi.restoreAllMocks()
  answer.mockReset()
  went.mockReset()
})

it('loads the address anew, at once when the server answers', async () => {
  await reload('/view/a/')
  expect(went.mock.calls).toEqual([['/view/a/']])
})

it('says that it waits while the server is away, and goes where somebody wanted to last', async () => {
  answer.mockImplementation(away)
  void reload('/view/a/')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(connection.value).toBe('lost')
  void reload('/studio')
  answer.mockImplementation(there)
  await vi.advanceTimersByTimeAsync(20_000)
  expect(went.mock.calls).toEqual([['/studio']])
})

it('stays when somebody goes elsewhere meanwhile', async () => {
  answer.mockImplementation(away)
  void reload('/view/a/')
  await vi.advanceTimersByTimeAsync(1_000)
  stay()
  answer.mockImplementation(there)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(went).not.toHaveBeenCalled()
  expect(connection.value).toBe('fine')
})

it('waits until the page that asks has been there for a while', async () => {
  vi.spyOn(performance, 'now').mockReturnValue(2_000)
  void reload('/view/a/')
  await vi.advanceTimersByTimeAsync(7_900)
  expect(went).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(200)
  expect(went).toHaveBeenCalledOnce()
})
