import type { Client } from '@urql/core'
import { EventCursorDocument, StreamEventsDocument } from '../graphql/graphql'
import type { Sink } from './feed'
import { codeOf, listen } from './listen'
import type { StreamEvent } from './streams'

/** Follows the events of one channel, or of all, in the shape that a feed wants. */
export function followStreamEvents(
  client: Client,
  loc: string | undefined,
  cursor: () => string,
  sink: Sink<StreamEvent>,
): () => void {
  const scope = loc === undefined ? {} : { loc }
  return listen(
    client,
    StreamEventsDocument,
    { ...scope, after: cursor() },
    {
      data: ({ streamEvents }) => sink.event(streamEvents),
      over: (error) => sink.failed(codeOf(error) === 'BAD_USER_INPUT' ? 'refused' : 'lost'),
    },
    () => ({ after: cursor() }),
  )
}

/** A cursor that is no newer than what is read after it. */
export async function readCursor(client: Client): Promise<string> {
  const { data, error } = await client.query(EventCursorDocument, {}).toPromise()
  if (!data) throw error ?? new Error('no answer')
  return data.liveStreams.eventCursor
}
