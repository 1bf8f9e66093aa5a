import { expect, it } from 'vitest'
import { nextPath } from './next'

it('is a path of this site and nothing else', () => {
  expect(nextPath('/studio?a=b')).toBe('/studio?a=b')
  for (const elsewhere of ['//evil.example', '/\\evil.example', 'https://evil.example', '', null]) {
    expect(nextPath(elsewhere)).toBe('/')
  }
})
