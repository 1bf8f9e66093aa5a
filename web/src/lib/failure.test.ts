import { CombinedError } from '@urql/core'
import { GraphQLError } from 'graphql'
import { expect, it } from 'vitest'
import { failureOf, fieldError } from './failure'

const refused = (extensions: object) =>
  new CombinedError({
    graphQLErrors: [new GraphQLError('no', { extensions: { ...extensions } })],
  })

it('knows the code, and the field without the path to it', () => {
  const failure = failureOf(refused({ code: 'CONFLICT', field: 'input.handle' }))
  expect(failure).toEqual({ code: 'CONFLICT', field: 'handle' })
  expect(fieldError(failure, 'handle', { CONFLICT: 'taken' })).toBe('taken')
  expect(fieldError(failure, 'password', { CONFLICT: 'taken' })).toBeUndefined()
  expect(fieldError(failure, 'handle', {})).toBeUndefined()
})

it('knows how long to wait, and the number of what went wrong', () => {
  expect(failureOf(refused({ code: 'RATE_LIMITED', retryAfterSeconds: 7 }))).toEqual({
    code: 'RATE_LIMITED',
    retryAfterSeconds: 7,
  })
  expect(failureOf(refused({ code: 'INTERNAL', requestId: 'abc' }))).toEqual({
    code: 'INTERNAL',
    requestId: 'abc',
  })
})

it('takes a code of a later server for a fault, and no answer for the network', () => {
  expect(failureOf(refused({ code: 'NEW_ONE' })).code).toBe('INTERNAL')
  expect(failureOf(new CombinedError({ networkError: new Error('down') })).code).toBe('NETWORK')
})
