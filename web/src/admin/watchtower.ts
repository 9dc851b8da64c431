import { shallowRef } from 'vue'
import { api, type Summary } from './api'
import { parseMetrics, rate, total, type Sample } from './metrics'

/** What was seen at one moment. */
export interface Sight {
  at: number
  summary: Summary
  metrics: Sample[]
  /** Per second since the sight before; null if that cannot be said. */
  rates: Record<Rate, number | null>
}

export type Rate = 'pushes' | 'said' | 'announced' | 'suppressed' | 'slow'

const counters: Record<Rate, (samples: Sample[]) => number> = {
  pushes: (s) => total(s, 'rollcall_tree_pushes_total'),
  said: (s) => total(s, 'rollcall_notices_total'),
  announced: (s) => total(s, 'rollcall_announcements_total', { state: 'sent' }),
  suppressed: (s) => total(s, 'rollcall_announcements_total', { state: 'suppressed' }),
  slow: (s) => total(s, 'rollcall_slow_clients_total'),
}

const kept = 10 * 60_000

/** What was seen in the last ten minutes, oldest first. It stays while other views are shown. */
export const sights = shallowRef<Sight[]>([])

/** Looks once. */
export async function look(signal: AbortSignal): Promise<Sight> {
  const [summary, text] = await Promise.all([api.summary(signal), api.metrics(signal)])
  const at = Date.now()
  const metrics = parseMetrics(text)
  const before = sights.value.at(-1)
  const rates = {} as Record<Rate, number | null>
  for (const [name, count] of Object.entries(counters)) {
    const same = before && total(before.metrics, 'rollcall_process_start_time_seconds') === total(metrics, 'rollcall_process_start_time_seconds')
    rates[name as Rate] = same ? rate(count(before.metrics), count(metrics), at - before.at) : null
  }
  const sight = { at, summary, metrics, rates }
  // Of older sights only what charts show is needed.
  sights.value = [...sights.value.filter((s) => s.at > at - kept).map((s) => (s.metrics.length > 0 ? { ...s, metrics: [] } : s)), sight]
  return sight
}
