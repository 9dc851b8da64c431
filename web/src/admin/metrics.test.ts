import { expect, test } from 'vitest'
import { parseMetrics, rate, total } from './metrics'

const text = `# HELP rollcall_connects_total Sockets that asked to come in, by outcome.
# TYPE rollcall_connects_total counter
rollcall_connects_total{outcome="admitted"} 34
rollcall_connects_total{outcome="rate_limited"} 2
rollcall_odd{a="x\\"y\\\\z\\n,}",b=""} 1.5e+03 1795853455530
rollcall_push_seconds_bucket{le="+Inf"} 7
rollcall_go_gc_gomemlimit_bytes 9.223372036854776e+18
rollcall_nothing NaN
rollcall_least -Inf
this is no sample
`

test('the text of Prometheus is read', () => {
  const samples = parseMetrics(text)
  expect(samples.map((s) => s.name)).toEqual([
    'rollcall_connects_total', 'rollcall_connects_total', 'rollcall_odd', 'rollcall_push_seconds_bucket', 'rollcall_go_gc_gomemlimit_bytes', 'rollcall_nothing', 'rollcall_least',
  ])
  expect(samples[2]).toEqual({ name: 'rollcall_odd', labels: { a: 'x"y\\z\n,}', b: '' }, value: 1500 })
  expect(samples[3]!.labels).toEqual({ le: '+Inf' })
  expect(samples.slice(4).map((s) => s.value)).toEqual([9.223372036854776e18, NaN, -Infinity])
  expect(parseMetrics('')).toEqual([])
})

test('series are added up by their labels', () => {
  const samples = parseMetrics(text)
  expect(total(samples, 'rollcall_connects_total')).toBe(36)
  expect(total(samples, 'rollcall_connects_total', { outcome: 'admitted' })).toBe(34)
  expect(total(samples, 'rollcall_not_there')).toBe(0)
})

test('a rate is none when no time passed or another process answers', () => {
  expect(rate(10, 25, 2500)).toBe(6)
  expect(rate(10, 10, 2500)).toBe(0)
  expect(rate(25, 10, 2500)).toBeNull()
  expect(rate(10, 25, 0)).toBeNull()
})
