import { describe, expect, it } from 'vitest'
import { GROUP_SIZE, regroup } from './groups'

const locs = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `loc ${from + i}`)

describe('grouping channels for their viewer counts', () => {
  it('names at most a hundred in one subscription', () => {
    const groups = regroup([], locs(0, 250))
    expect(groups.map((group) => group.length)).toEqual([GROUP_SIZE, GROUP_SIZE, 50])
    expect(groups.flat()).toEqual(locs(0, 250))
  })

  it('leaves untouched groups as they are when a channel comes or goes', () => {
    const before = regroup([], locs(0, 250))
    const fewer = regroup(before, locs(1, 250))
    expect(fewer.map((group) => group.length)).toEqual([99, 100, 50])
    expect(fewer.slice(1)).toEqual(before.slice(1))
    expect(fewer[1]).toBe(before[1])
    expect(fewer[2]).toBe(before[2])
    const again = regroup(fewer, [...locs(1, 250), 'new'])
    expect(again[0]).toHaveLength(100)
    expect(again[2]).toBe(before[2])
  })

  it('has no empty group, since a subscription must name somebody', () => {
    expect(regroup([['a'], ['b']], ['b'])).toEqual([['b']])
    expect(regroup([['a']], [])).toEqual([])
  })

  it('names a channel once', () => {
    expect(regroup([], ['a', 'a', 'b'])).toEqual([['a', 'b']])
  })
})
