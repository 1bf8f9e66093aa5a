import type { CombinedError } from '@urql/core'

const CODES = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'BAD_USER_INPUT',
  'CONFLICT',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'DOCUMENT_REFUSED',
  'INTERNAL',
] as const

export type Code = (typeof CODES)[number] | 'NETWORK'

/** What went wrong, as far as a page needs to know it to say what to do. */
export interface Failure {
  code: Code
  /** Which input was wrong, without the path to it. */
  field?: string
  retryAfterSeconds?: number
  requestId?: string
}

export function failureOf(error: CombinedError | undefined): Failure {
  return failureFrom(error?.graphQLErrors[0]?.extensions)
}

/** The same of what an error carries; without anything nobody has answered. */
export function failureFrom(extensions: Record<string, unknown> | undefined): Failure {
  if (!extensions) return { code: 'NETWORK' }
  const failure: Failure = { code: CODES.find((code) => code === extensions['code']) ?? 'INTERNAL' }
  const { field, retryAfterSeconds, requestId } = extensions
  if (typeof field === 'string') failure.field = field.replace(/^input\./, '')
  if (typeof retryAfterSeconds === 'number') failure.retryAfterSeconds = retryAfterSeconds
  if (typeof requestId === 'string') failure.requestId = requestId
  return failure
}

export type Words = Partial<Record<Code, string>>

/** What to say beside a field: nothing unless the failure is about it and there are words for it. */
export function fieldError(failure: Failure | null, field: string, words: Words) {
  return failure?.field === field ? words[failure.code] : undefined
}
