import { expect, it } from 'vitest'
import type { StudioChannelFragment } from '../graphql/graphql'
import { fieldsOf, onceKeys, toCreate, toUpdate } from './channel'

const channel: StudioChannelFragment = {
  id: 'ch_1',
  loc: 'loc',
  name: 'Mine',
  description: '',
  record: false,
  chatEnabled: true,
  clipsEnabled: true,
  protected: false,
  defaultStreamName: 'Mine',
  views: 0,
  topic: { id: 'to_1', slug: 'old', name: 'Old', retired: true },
  owner: { id: 'us_1', handle: 'mia', displayName: 'Mia' },
}

it('sends what was changed and nothing else', () => {
  const fields = { ...fieldsOf(channel), description: 'Every Friday', protected: true }
  expect(toUpdate(channel, fields)).toEqual({
    id: 'ch_1',
    description: 'Every Friday',
    protected: true,
  })
  expect(toUpdate(channel, fieldsOf(channel))).toEqual({ id: 'ch_1' })
})

it('clears a topic with null', () => {
  expect(toUpdate(channel, { ...fieldsOf(channel), topic: '' })).toEqual({
    id: 'ch_1',
    topic: null,
  })
})

it('names streams after the channel when nothing else is said', () => {
  const input = toCreate({ ...fieldsOf(null), name: ' Mine ' })
  expect(input).toMatchObject({ name: 'Mine', defaultStreamName: 'Mine', topic: null })
})

it('has one key for one input, however often it is sent', () => {
  let n = 0
  const keyFor = onceKeys(() => `key ${n++}`)
  expect([keyFor({ a: 1 }), keyFor({ a: 1 }), keyFor({ a: 2 }), keyFor({ a: 1 })]).toEqual([
    'key 0',
    'key 0',
    'key 1',
    'key 2',
  ])
})
