import { expect, it } from 'vitest'
import { heightsOf, keepTo, type Size } from './sizes'

/** Like the engine's own: the one that is allowed last, after it was not, is what it goes to. */
function anEngine(...heights: (number | undefined)[]) {
  const playing: { now: number | undefined } = { now: heights[0] }
  const sizes = heights.map((height) => {
    let enabled = true
    const size: Size = {
      enabled(on) {
        if (on && !enabled) playing.now = height
        return (enabled = on ?? enabled)
      },
    }
    return height === undefined ? size : { ...size, height }
  })
  const open = () => sizes.filter((size) => size.enabled()).map(({ height }) => height)
  return { sizes, open, playing }
}

it('names each height once, the largest first', () => {
  expect(heightsOf(anEngine(480, 1080, 480, 720).sizes)).toEqual([1080, 720, 480])
  expect(heightsOf(anEngine(undefined).sizes)).toEqual([])
})

it('goes to the chosen size at once, and keeps to it', () => {
  const { sizes, open, playing } = anEngine(720, 480, 360)
  keepTo(sizes, 480)
  expect([open(), playing.now]).toEqual([[480], 480])
  keepTo(sizes, 360)
  expect([open(), playing.now]).toEqual([[360], 360])
})

it('goes on with what plays when the player may choose again', () => {
  const { sizes, open, playing } = anEngine(720, 480, 360)
  keepTo(sizes, 480)
  keepTo(sizes, null)
  expect([open(), playing.now]).toEqual([[720, 480, 360], 480])
})

it('changes nothing when all is as it should be, or the height is not there', () => {
  const { sizes, open, playing } = anEngine(720, 480)
  for (const height of [null, 360]) keepTo(sizes, height)
  expect([open(), playing.now]).toEqual([[720, 480], 720])
})
