import { onUnmounted, ref, shallowRef, watch } from 'vue'
import { api, Problem, serverNow, type Filters, type Notice } from './api'
import { stringify } from './exact'

/** How many rows the log shows at once. */
export const shownAtOnce = 50
/** How often what is new is asked for, and how far back that looks again: rows come late, and counts rise. */
const tailEvery = 2000
const overlap = 60_000
/** Pages that are asked for in one go when they come back nearly empty, as those of a rare text do. */
const pagesAtOnce = 20

export const filterNames = ['conferenceId', 'senderId', 'recipientId', 'event', 'category', 'state', 'label', 'sendType', 'from', 'to', 'q'] as const

/** The filters that are in an address. */
export function filtersOf(query: Record<string, string>): Filters {
  return Object.fromEntries(filterNames.flatMap((name) => (query[name] ? [[name, query[name]]] : [])))
}

/** One line that says what a row of the log is about. */
export function gist(n: Notice): string {
  const m = n.message as Record<string, unknown> | string | null
  if (m === null || m === undefined) return ''
  if (typeof m !== 'object') return String(m)
  if (n.event === 'note_tree' && 'version' in m) return `v${String(m.version)} ${Array.isArray(m.sections) ? m.sections.join(', ') : ''}`
  if (n.event === 'audit') return Object.values(m).map((v) => (typeof v === 'object' ? stringify(v, 0).replace(/["[\]{}]/g, ' ') : String(v))).join(' ')
  if (n.event === 'online_notice' || n.event === 'offline_notice') return String(m.reason ?? '')
  const text = [m.title, m.body].filter((v) => typeof v === 'string' && v !== '').join(' · ')
  return text || stringify(m, 0).slice(0, 200)
}

/** The page of the log that an address asks for, and what comes in while it is the newest one. */
export function useNoticeLog(where: () => { filters: Filters; cursor: string }) {
  const rows = shallowRef<Notice[]>()
  const next = shallowRef<string | null>(null)
  const error = shallowRef<Problem>()
  const busy = ref(false)
  const paused = ref(false)
  /** Rows that came in while somebody was looking, by id. */
  const fresh = shallowRef(new Set<string>())
  let current: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  let lookedAt = 0

  async function reload() {
    current?.abort()
    clearTimeout(timer)
    const mine = (current = new AbortController())
    busy.value = true
    let patience = tailEvery
    try {
      fresh.value = new Set()
      await read(mine.signal)
      error.value = undefined
    } catch (e) {
      if (!mine.signal.aborted) patience = fail(e)
    }
    if (mine.signal.aborted) return
    busy.value = false
    timer = setTimeout(tail, patience)
  }

  async function read(signal: AbortSignal) {
    const { filters, cursor } = where()
    const found: Notice[] = []
    const asked = serverNow()
    let from: string | undefined = cursor || undefined
    for (let n = 0; n < pagesAtOnce; n++) {
      const page = await api.notices(filters, { limit: shownAtOnce - found.length, cursor: from }, signal)
      if (signal.aborted) return
      found.push(...page.items)
      from = page.next ?? undefined
      if (found.length > 0 || !from || n === pagesAtOnce - 1) {
        rows.value = found.slice()
        next.value = page.next
      }
      if (!from || found.length >= shownAtOnce) break
    }
    lookedAt = asked
  }

  function fail(e: unknown): number {
    error.value = e instanceof Problem ? e : new Problem(0, 'internal', String(e))
    return Math.max(tailEvery, error.value.retryAfter * 1000)
  }

  /** Asks for what came in lately, and puts it on top of what is there. */
  async function tail() {
    clearTimeout(timer)
    const { filters, cursor } = where()
    let patience = tailEvery
    if (!cursor && !paused.value && !document.hidden && !filters.to && rows.value) {
      const mine = (current = new AbortController())
      const asked = serverNow()
      const from = Math.max(Number(filters.from ?? 0), Math.floor(lookedAt - overlap), 0)
      try {
        const page = await api.notices({ ...filters, from: String(from) }, { limit: shownAtOnce }, mine.signal)
        if (mine.signal.aborted) return
        if (!merge(page.items)) await read(mine.signal)
        if (mine.signal.aborted) return
        lookedAt = asked
        error.value = undefined
      } catch (e) {
        if (mine.signal.aborted) return
        patience = fail(e)
      }
    }
    timer = setTimeout(tail, patience)
  }

  /** Whether the rows fit in: after a gap, or when there are too many, the page has to be read again, as its cursor goes with its rows. */
  function merge(items: Notice[]): boolean {
    const known = new Map(rows.value!.map((n) => [n.id, n]))
    const unknown = items.filter((n) => !known.has(n.id)).map((n) => n.id)
    if (unknown.length > 0) fresh.value = new Set(unknown)
    if (unknown.length === shownAtOnce || known.size + unknown.length > 2 * shownAtOnce) return false
    if (unknown.length === 0 && items.every((n) => same(n, known.get(n.id)!))) return true
    for (const n of items) known.set(n.id, n)
    rows.value = [...known.values()].sort((a, b) => (a.id < b.id ? 1 : -1))
    return true
  }

  const same = (a: Notice, b: Notice) => a.state === b.state && a.sent === b.sent && a.acked === b.acked && a.read === b.read

  const whenShown = () => { if (!document.hidden) void tail() }
  document.addEventListener('visibilitychange', whenShown)
  onUnmounted(() => {
    document.removeEventListener('visibilitychange', whenShown)
    clearTimeout(timer)
    current?.abort()
  })
  watch(() => JSON.stringify(where()), () => {
    next.value = null // the rows that stay meanwhile are those of another page
    void reload()
  })
  void reload()
  return { rows, next, error, busy, paused, fresh, reload }
}
