import { expect, it } from 'vitest'
import { bytes, clock, count, regional } from './format'

it('shortens large numbers as each language does', () => {
  expect(count(9_999, 'en')).toBe('9,999')
  expect(count(12_345, 'en')).toBe('12.3K')
  expect(count(12_345, 'zh')).toBe('1.2万')
})

it('shows a length of time as a clock does', () => {
  expect(clock(425_000)).toBe('7:05')
  expect(clock(3_753_999)).toBe('1:02:33')
  expect(clock(-5)).toBe('0:00')
})

it('writes dates as the country of the reader does', () => {
  expect(regional('en', ['fr-FR', 'en-GB', 'en-US'])).toBe('en-GB')
  expect(regional('zh', ['en-GB'])).toBe('zh')
})

it('says what something takes in the unit that fits', () => {
  const sizes = [0, 900, 1_500_000, 2_340_000_000, 5e15]
  expect(sizes.map((size) => bytes(size, 'en'))).toEqual([
    '0 kB',
    '0.9 kB',
    '1.5 MB',
    '2.3 GB',
    '5,000 TB',
  ])
})
