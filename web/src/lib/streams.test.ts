import { describe, expect, it } from 'vitest'
import type { StreamCardFragment, StreamState } from '../graphql/graphql'
import { addPage, applyToChannel, applyToList, firstPage, type StreamEvent } from './streams'

function stream(id: string, state: StreamState = 'LIVE', name = id): StreamCardFragment {
  return {
    id,
    name,
    state,
    currentViewers: 0,
    startedAt: '2026-01-01T00:00:00.000Z',
    pageUrl: `/view/${id}/`,
    playbackUrl: `/live/${id}/index.m3u8`,
    thumbnailUrl: `/stream-thumb/${id}.png`,
    previewUrl: `/stream-thumb/${id}.gif`,
    topic: null,
    channel: { id: `channel of ${id}`, loc: id, name: id },
  }
}

function event(kind: Exclude<StreamEvent['__typename'], 'StreamStopped'>, of: StreamCardFragment) {
  return { __typename: kind, cursor: 'c', at: '', stream: of } satisfies StreamEvent
}

function stopped(of: StreamCardFragment): StreamEvent {
  return {
    __typename: 'StreamStopped',
    cursor: 'c',
    at: '',
    stream: { ...of, state: 'ENDED' },
    reason: 'ENDED_BY_OWNER',
  }
}

const names = (list: { streams: StreamCardFragment[] }) => list.streams.map(({ name }) => name)

describe('the list of live streams', () => {
  it('puts a newcomer behind the others', () => {
    const list = applyToList(firstPage([stream('a')]), event('StreamStarted', stream('b')))
    expect(names(list)).toEqual(['a', 'b'])
  })

  it('does not show a stream twice when the backlog tells of one already listed', () => {
    const list = applyToList(firstPage([stream('a')]), event('StreamStarted', stream('a')))
    expect(names(list)).toEqual(['a'])
  })

  it('changes a stream in its place', () => {
    const list = applyToList(
      firstPage([stream('a'), stream('b')]),
      event('StreamUpdated', stream('a', 'LIVE', 'renamed')),
    )
    expect(names(list)).toEqual(['renamed', 'b'])
  })

  it('marks a stream as interrupted, keeps that through an update, and resumes it', () => {
    let list = applyToList(firstPage([stream('a')]), event('StreamInterrupted', stream('a')))
    list = applyToList(list, event('StreamUpdated', stream('a', 'LIVE', 'renamed')))
    expect(list.streams[0]?.state).toBe('INTERRUPTED')
    list = applyToList(list, event('StreamResumed', stream('a', 'INTERRUPTED')))
    expect(list.streams[0]?.state).toBe('LIVE')
  })

  it('removes a stream that stops', () => {
    expect(names(applyToList(firstPage([stream('a')]), stopped(stream('a'))))).toEqual([])
  })

  it('does not bring an ended stream back by an update or by a page asked for before it ended', () => {
    let list = applyToList(firstPage([stream('a')]), stopped(stream('b')))
    list = applyToList(list, event('StreamUpdated', stream('b', 'ENDED')))
    list = addPage(list, [stream('a'), stream('b'), stream('c')])
    expect(names(list)).toEqual(['a', 'c'])
  })
})

describe('the list of one topic', () => {
  const music = { id: 'music', slug: 'music', name: 'Music' }
  const about = (id: string, topic: typeof music | null) => ({ ...stream(id), topic })

  it('takes in who starts with the topic or comes to it, and nobody else', () => {
    let list = applyToList(firstPage([]), event('StreamStarted', about('a', null)), 'music')
    expect(names(list)).toEqual([])
    list = applyToList(list, event('StreamStarted', about('b', music)), 'music')
    list = applyToList(list, event('StreamUpdated', about('a', music)), 'music')
    expect(names(list)).toEqual(['b', 'a'])
  })

  it('lets go of who leaves it, and takes them back', () => {
    let list = applyToList(
      firstPage([about('a', music)]),
      event('StreamUpdated', about('a', null)),
      'music',
    )
    expect(names(list)).toEqual([])
    list = applyToList(list, event('StreamUpdated', about('a', music)), 'music')
    expect(names(list)).toEqual(['a'])
  })
})

describe('what a channel has on the air', () => {
  const off = { stream: null, stopped: null }

  it('goes on the air and off again, with the reason', () => {
    const on = applyToChannel(off, event('StreamStarted', stream('a')))
    expect(on.stream?.id).toBe('a')
    expect(applyToChannel(on, stopped(stream('a')))).toEqual({
      stream: null,
      stopped: 'ENDED_BY_OWNER',
    })
  })

  it('is not taken off the air by the late news of an earlier end', () => {
    const on = { stream: stream('b'), stopped: null }
    expect(applyToChannel(on, stopped(stream('a')))).toBe(on)
  })

  it('believes an event before the stream that it carries, which may be newer', () => {
    const on = applyToChannel(off, event('StreamStarted', stream('a', 'INTERRUPTED')))
    expect(on.stream?.state).toBe('LIVE')
  })
})
