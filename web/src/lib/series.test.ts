import { expect, it } from 'vitest'
import { addPoint, columns, curve, emptySeries, joined } from './series'

it('keeps each change, and the two ends of a stretch without any', () => {
  let series = emptySeries()
  for (const [at, figure] of [
    [1_000, 3],
    [2_000, 3],
    [3_000, 3],
    [4_000, 5],
  ] as const) {
    series = addPoint(series, at, figure)
  }
  expect(series).toEqual({ at: [1, 3, 4], value: [3, 3, 5] })
})

it('thins the older half when there are too many, and keeps the order', () => {
  let series = emptySeries()
  for (let n = 0; n < 11; n++) series = addPoint(series, n * 1_000, n, 10)
  expect(series.at).toEqual([0, 2, 4, 5, 6, 7, 8, 9, 10])
  expect(series.value).toEqual(series.at)
})

it('never goes back in time', () => {
  const series = addPoint(addPoint(emptySeries(), 5_000, 1), 4_000, 2)
  expect(series.at).toEqual([5, 5])
})

it('spans some time even with a single point', () => {
  expect(columns(addPoint(emptySeries(), 5_000, 3))).toEqual([
    [4, 5],
    [3, 3],
  ])
  expect(columns(emptySeries())).toEqual([[], []])
})

it('begins with what the server has kept, and goes on with what was seen since', () => {
  const at = (second: number) => new Date(second * 1_000).toISOString()
  const points = [
    { at: at(0), viewers: 1 },
    { at: at(60), viewers: 4 },
  ]
  expect(curve(points)).toEqual({ at: [0, 60], value: [1, 4] })
  expect(curve(points, at(90))).toEqual({ at: [0, 60, 90], value: [1, 4, 4] })
  expect(curve([], at(90))).toEqual(emptySeries())
  const since = { at: [60, 70], value: [2, 3] }
  expect(joined(curve(points), since)).toEqual({ at: [0, 60, 70], value: [1, 2, 3] })
  expect(joined(curve(points), emptySeries())).toEqual(curve(points))
})
