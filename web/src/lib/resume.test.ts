import { expect, it } from 'vitest'
import { resumable } from './resume'

it('asks for what follows the last event seen each time it is sent', () => {
  let cursor = '1'
  const request = resumable({ query: 'q', variables: { loc: 'x', after: '1' } }, () => ({
    after: cursor,
  }))
  expect(JSON.parse(JSON.stringify(request))).toEqual({
    query: 'q',
    variables: { loc: 'x', after: '1' },
  })
  cursor = '9'
  expect(JSON.parse(JSON.stringify(request)).variables).toEqual({ loc: 'x', after: '9' })
})
