import type { Interval } from './api'

/** A piece of a time line, in per cent of its width. */
export interface Bar {
  left: number
  width: number
  interval: Interval
}

export interface Span {
  from: number
  to: number
}

/** The time from the first arrival to the last end, or to now while somebody is there; null when nobody ever came. At least a minute. */
export function spanOf(intervals: Interval[], now: number): Span | null {
  if (intervals.length === 0) return null
  const from = intervals.reduce((least, i) => Math.min(least, i.from), Infinity)
  const to = intervals.reduce((most, i) => Math.max(most, i.to ?? now), -Infinity)
  return { from, to: Math.max(to, from + 60_000) }
}

/** Where intervals lie in a span. What lies outside is cut; a short one stays wide enough to be seen. */
export function barsOf(intervals: Interval[], span: Span, now: number): Bar[] {
  const whole = span.to - span.from
  return intervals.flatMap((interval) => {
    const from = Math.max(interval.from, span.from)
    const to = Math.min(interval.to ?? now, span.to)
    if (to < span.from || from > span.to) return []
    const left = ((from - span.from) / whole) * 100
    const width = Math.max(((to - from) / whole) * 100, 0.4)
    return [{ left: Math.min(left, 100 - width), width, interval }]
  })
}

const steps = [1 / 6, 1 / 2, 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080].map((minutes) => minutes * 60_000)

/** Round moments within a span, at most `most` of them, in the zone of the browser. */
export function ticksOf(span: Span, most = 6): number[] {
  const step = steps.find((s) => (span.to - span.from) / s <= most) ?? Math.ceil((span.to - span.from) / most / 86_400_000) * 86_400_000
  const zone = new Date(span.from).getTimezoneOffset() * 60_000
  const ticks: number[] = []
  for (let t = Math.ceil((span.from - zone) / step) * step + zone; t <= span.to; t += step) ticks.push(t)
  return ticks
}
