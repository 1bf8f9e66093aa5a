/** A figure over time: moments in seconds, as the chart wants them, and the figure at each. */
export interface Series {
  at: number[]
  value: number[]
}

/** How many points are kept: more than a chart has pixels, and few enough to draw each time. */
const MOST = 2_000

/**
 * The series with one more point. A chart of steps needs no point where nothing changed, so the last
 * one of a stretch of equal figures moves on. When there are too many, every second of the older half
 * goes: the recent past keeps its detail.
 */
export function addPoint(series: Series, atMs: number, figure: number, most = MOST): Series {
  const at = [...series.at]
  const value = [...series.value]
  const last = at.length - 1
  // A clock that was set back must not make a line that goes back.
  const moment = Math.max(atMs / 1_000, at[last] ?? 0)
  if (last >= 1 && value[last] === figure && value[last - 1] === figure) at[last] = moment
  else {
    at.push(moment)
    value.push(figure)
  }
  if (at.length <= most) return { at, value }
  const keeps = (_: number, index: number) => index >= most / 2 || index % 2 === 0
  return { at: at.filter(keeps), value: value.filter(keeps) }
}

/** The series as the chart takes it. A single point has no time to span, so it is taken to be a second old. */
export function columns({ at, value }: Series): [number[], number[]] {
  return at.length === 1
    ? [
        [at[0]! - 1, at[0]!],
        [value[0]!, value[0]!],
      ]
    : [at, value]
}

/** The series of points that the server has kept, drawn on to the end if there is one. */
export function curve(
  points: readonly { at: string; viewers: number }[],
  end?: string | null,
): Series {
  const at = points.map((point) => Date.parse(point.at) / 1_000)
  const value = points.map((point) => point.viewers)
  const last = at.at(-1)
  if (end && last !== undefined && Date.parse(end) / 1_000 > last) {
    at.push(Date.parse(end) / 1_000)
    value.push(value.at(-1)!)
  }
  return { at, value }
}

/** What was kept from before, then what was seen since. */
export function joined(before: Series, since: Series): Series {
  const first = since.at[0] ?? Infinity
  const earlier = before.at.filter((at) => at < first).length
  return {
    at: [...before.at.slice(0, earlier), ...since.at],
    value: [...before.value.slice(0, earlier), ...since.value],
  }
}

export function emptySeries(): Series {
  return { at: [], value: [] }
}
