import { shallowRef, watch, type Ref } from 'vue'
import { addPoint, emptySeries } from '../lib/series'
import { useNow } from './useNow'

/** How often the line grows while nothing changes. */
const EVERY_MS = 1_000

/** A figure since now: a point for each of its changes, and one a second, so that time is seen to pass. */
export function useViewerSeries(figure: Ref<number>) {
  const series = shallowRef(emptySeries())
  const now = useNow(EVERY_MS)
  watch([figure, now], ([value]) => (series.value = addPoint(series.value, Date.now(), value)), {
    immediate: true,
  })
  return series
}
