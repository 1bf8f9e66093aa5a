import { expect, it } from 'vitest'
import { behind, placeBehind } from './rewind'

const at = (time: number, ...ranges: [number, number][]) => ({
  currentTime: () => time,
  seekable: () => ({
    length: ranges.length,
    start: (index: number) => ranges[index]![0],
    end: (index: number) => ranges[index]![1],
  }),
})

it('says how far behind the newest picture a player is', () => {
  expect(behind(at(95, [70, 100]))).toBe(5)
  expect(behind(at(101, [70, 100]))).toBe(0)
  expect(behind(at(0))).toBe(0)
})

it('finds the place in the longer list, which begins elsewhere', () => {
  expect(placeBehind(at(0, [0, 300]), 15)).toBe(285)
  expect(placeBehind(at(0, [290, 300]), 15)).toBe(290)
  expect(placeBehind(at(0), 15)).toBe(null)
})
