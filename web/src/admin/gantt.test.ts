import { expect, test } from 'vitest'
import { barsOf, spanOf, ticksOf } from './gantt'

const minute = 60_000
const stay = (from: number, to: number | null) => ({ from, to, reason: to === null ? null : 'left' })

test('the span is from the first arrival to the last end, or to now', () => {
  expect(spanOf([], 5)).toBeNull()
  expect(spanOf([stay(30 * minute, 40 * minute), stay(10 * minute, 20 * minute)], 99 * minute)).toEqual({ from: 10 * minute, to: 40 * minute })
  expect(spanOf([stay(10 * minute, null)], 50 * minute)).toEqual({ from: 10 * minute, to: 50 * minute })
  expect(spanOf([stay(10 * minute, 10 * minute)], 0)).toEqual({ from: 10 * minute, to: 11 * minute })
})

test('bars lie where their intervals are', () => {
  const span = { from: 0, to: 100 * minute }
  const place = (from: number, to: number | null, now = 100 * minute) => barsOf([stay(from, to)], span, now).map((b) => [b.left, b.width])
  expect(place(10 * minute, 30 * minute)).toEqual([[10, 20]])
  expect(place(80 * minute, null)).toEqual([[80, 20]])
  expect(place(-50 * minute, 10 * minute)).toEqual([[0, 10]])
  expect(place(-20 * minute, -10 * minute)).toEqual([])
  expect(place(110 * minute, 120 * minute)).toEqual([])
  const [[left, width]] = place(100 * minute, 100 * minute) as [[number, number]]
  expect(width).toBe(0.4) // wide enough to be seen, and within the line
  expect(left + width).toBeLessThanOrEqual(100)
})

test('ticks are few, round and within the span', () => {
  for (const long of [1, 3, 17, 60, 95, 600, 1440, 20_000, 400_000]) {
    const span = { from: 1_795_258_451_355, to: 1_795_258_451_355 + long * minute }
    const ticks = ticksOf(span)
    expect(ticks.length, `${long} minutes`).toBeGreaterThan(0)
    expect(ticks.length, `${long} minutes`).toBeLessThanOrEqual(7)
    expect(ticks.every((t) => t >= span.from && t <= span.to)).toBe(true)
    if (long >= 10) expect(ticks.every((t) => t % minute === 0)).toBe(true)
  }
})
