import 'uplot/dist/uPlot.min.css'
import uPlot from 'uplot'
import { regional } from './format'
import { columns, type Series } from './series'

/** A chart in the colours that its place has at this moment. */
export function drawChart(place: HTMLElement, series: Series, language: string): uPlot {
  const style = getComputedStyle(place)
  const color = (name: string) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: color('--ink-quiet'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
    font: `12px ${style.fontFamily}`,
  }
  const time = new Intl.DateTimeFormat(regional(language), { hour: '2-digit', minute: '2-digit' })
  const exact = new Intl.DateTimeFormat(regional(language), { timeStyle: 'medium' })
  return new uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 8 } },
      scales: {
        // A minute at least, so that the first points do not stretch over all of it.
        x: { time: true, range: (_chart, from, to) => [Math.min(from, to - 60), to] },
        y: { range: (_chart, _least, most) => [0, Math.max(4, most * 1.1)] },
      },
      axes: [
        {
          ...axis,
          values: (_chart, splits, _axis, _space, step) =>
            splits.map((at) => (step < 60 ? exact : time).format(at * 1_000)),
          space: 90,
          size: 30,
        },
        { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5], size: 44 },
      ],
      series: [
        {},
        {
          stroke: color('--accent'),
          width: 2,
          points: { show: false },
          // Viewers are there or not: a sloping line would show figures that never were.
          ...(uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
        },
      ],
    },
    columns(series),
    place,
  )
}
