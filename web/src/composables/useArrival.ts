import { useClientHandle } from '@urql/vue'
import { onScopeDispose, shallowRef } from 'vue'
import {
  HealthHistoryDocument,
  HealthNowDocument,
  type HealthNowSubscription,
} from '../graphql/graphql'
import { again } from '../lib/again'
import { listen } from '../lib/listen'
import { addPoint, emptySeries, type Series } from '../lib/series'

export type Arrival = HealthNowSubscription['streamHealth']

const total = (point: { videoKbps: number; audioKbps: number }) =>
  Math.round(point.videoKbps + point.audioKbps)

/** How well a broadcast arrives: as it is now, and its bit rate over the last minutes. */
export function useArrival(loc: string) {
  const { client } = useClientHandle()
  const arrival = shallowRef<Arrival | null>(null)
  const series = shallowRef<Series>(emptySeries())
  let gone = false

  function add(at: string, kbps: number) {
    const moment = Date.parse(at)
    // What the history ends with may be told once more.
    if (moment / 1_000 > (series.value.at.at(-1) ?? 0)) {
      series.value = addPoint(series.value, moment, kbps)
    }
  }

  async function readHistory() {
    const { data } = await client.query(HealthHistoryDocument, { loc }).toPromise()
    if (gone || !data?.streamHealth) return
    const told = series.value
    series.value = emptySeries()
    for (const point of data.streamHealth.points) add(point.at, total(point))
    told.at.forEach((at, index) => add(new Date(at * 1_000).toISOString(), told.value[index]!))
  }

  void readHistory()
  const stop = again((came, over) =>
    listen(
      client,
      HealthNowDocument,
      { loc },
      {
        data: ({ streamHealth }) => {
          came()
          arrival.value = streamHealth
          if (streamHealth.now) add(streamHealth.now.at, total(streamHealth.now))
        },
        over,
      },
    ),
  )
  onScopeDispose(() => {
    gone = true
    stop()
  })
  return { arrival, series }
}
