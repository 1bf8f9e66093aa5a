import type { ChannelRowFragment } from '../graphql/graphql'
import { applyToChannel, type StreamEvent } from './streams'

/** The same channels, after something happened on one of them or on another one. */
export function applyToRows(
  rows: readonly ChannelRowFragment[],
  event: StreamEvent,
): ChannelRowFragment[] {
  return rows.map((row) => {
    if (row.id !== event.stream.channel.id) return row
    const { stream } = applyToChannel({ stream: row.stream ?? null, stopped: null }, event)
    return { ...row, stream }
  })
}
