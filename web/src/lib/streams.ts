import type {
  StopReason,
  StreamCardFragment,
  StreamEventsSubscription,
  StreamState,
} from '../graphql/graphql'

export type StreamEvent = StreamEventsSubscription['streamEvents']

/**
 * The state that an event leads to. An event read late carries the stream as it is by now, so what
 * the event says is believed before what its stream says; a later event is on its way.
 */
function stateAfter(event: StreamEvent, before: StreamState | undefined): StreamState {
  switch (event.__typename) {
    case 'StreamStarted':
    case 'StreamResumed':
      return 'LIVE'
    case 'StreamInterrupted':
      return 'INTERRUPTED'
    case 'StreamStopped':
      return 'ENDED'
    case 'StreamUpdated':
      return before ?? event.stream.state
  }
}

/** The streams on the air, in a steady order: those of the first answer, then newcomers behind them. */
export interface LiveList {
  streams: StreamCardFragment[]
  /** Streams that ended since the first page: a further page asked for before may still name them. */
  ended: Set<string>
}

export function firstPage(streams: readonly StreamCardFragment[]): LiveList {
  return { streams: [...streams], ended: new Set() }
}

export function addPage(list: LiveList, page: readonly StreamCardFragment[]): LiveList {
  const known = new Set(list.streams.map((stream) => stream.id))
  const added = page.filter((stream) => !known.has(stream.id) && !list.ended.has(stream.id))
  return { ...list, streams: [...list.streams, ...added] }
}

/** `topic` is the slug of the one that the list is narrowed to: a stream may come to carry it, or leave it. */
export function applyToList(
  list: LiveList,
  event: StreamEvent,
  topic: string | null = null,
): LiveList {
  const { id } = event.stream
  const before = list.streams.find((stream) => stream.id === id)
  const state = stateAfter(event, before?.state)
  if (state === 'ENDED') {
    return {
      streams: list.streams.filter((stream) => stream.id !== id),
      ended: new Set(list.ended).add(id),
    }
  }
  if (list.ended.has(id)) return list
  if (topic !== null && event.stream.topic?.slug !== topic) {
    return before ? { ...list, streams: list.streams.filter((it) => it.id !== id) } : list
  }
  const after = { ...event.stream, state }
  return {
    ...list,
    streams: before
      ? list.streams.map((stream) => (stream.id === id ? after : stream))
      : [...list.streams, after],
  }
}

/** What a channel has on the air, and how its last broadcast ended if one was seen to end. */
export interface OnAir {
  stream: StreamCardFragment | null
  stopped: StopReason | null
}

export function applyToChannel(onAir: OnAir, event: StreamEvent): OnAir {
  const current = onAir.stream?.id === event.stream.id ? onAir.stream : null
  if (event.__typename === 'StreamStopped') {
    // The end of an earlier broadcast says nothing about the one that has begun since.
    return onAir.stream && !current ? onAir : { stream: null, stopped: event.reason }
  }
  const state = stateAfter(event, current?.state)
  if (state === 'ENDED') return onAir
  return { stream: { ...event.stream, state }, stopped: null }
}
