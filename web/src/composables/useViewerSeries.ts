import { shallowRef, watch, type Ref } from 'vue'
import { addPoint, emptySeries, joined, type Series } from '../lib/series'
import { useNow } from './useNow'

/** How often the line grows while nothing changes. */
const EVERY_MS = 1_000

/**
 * A figure since now: a point for each of its changes, and one a second, so that time is seen to pass.
 * While it is not known, which null says, there is none.
 * What is known from before stands in front of it, as soon as it is.
 */
export function useViewerSeries(figure: Ref<number | null>, before?: Ref<Series | null>) {
  const series = shallowRef(emptySeries())
  const now = useNow(EVERY_MS)
  watch(
    [figure, now],
    ([value]) => {
      if (value !== null) series.value = addPoint(series.value, Date.now(), value)
    },
    { immediate: true },
  )
  watch(
    () => before?.value,
    (known) => {
      if (known) series.value = joined(known, series.value)
    },
  )
  return series
}
