import { parse } from './exact'

export type Role = 'viewer' | 'backend' | 'admin'
export interface Login { name: string; role: Role; csrf: string; expiresAt: number | null }
export interface Page<T> { items: T[]; next: string | null }
export interface Node { id: string; epoch: number; state: 'up' | 'dead' | 'stopped'; heartbeatAt: number; sockets: number }
export interface Summary { sockets: number; users: number; conferences: number; nodes: Node[]; clientTypes: Record<string, number> }
export interface Conference { id: string; title: string; ended: boolean; endedAt: number | null; createdAt: number; updatedAt: number; online: number }
export interface Device { sessionId: string; clientType: string; deviceId: string; connectedAt: number; ip?: string; node?: string }
export interface Person { userId: string; userName: string; role: string; attrs: object; state: string; since: number; devices: Device[] }
export interface Roster { conferenceId: string; rosterVersion: number; version: number; online: number; expected: number; excused: number; users: Person[]; more: boolean }
export interface Stay { conferenceId: string; state: string; since: number; devices: Device[] }
export interface Presence { userId: string; userName: string; conferences: Stay[] }
export interface Notice {
  id: string; conferenceId: string; senderId: string; senderName: string; actor: string; event: string; category: string; label: string; sendType: string
  message: unknown; recipients: string[]; audience: number; sent: number; acked: number; read: number; fromIp: string; toIp: Record<string, string>
  online: number; state: string; createdAt: number
}
export interface Delivery { userId: string; state: string; at: number; sessionId: string; clientType: string; deviceId: string; ip: string }
export interface InboxItem {
  id: string; event: string; category: string; conferenceId: string; senderId: string; senderName: string; title: string; body: string; data: unknown
  requireAck: boolean; createdAt: number; expiresAt: number | null; read: boolean
}
export interface Inbox extends Page<InboxItem> { unread: { total: number; byCategory: Record<string, number> } }
export interface Interval { from: number; to: number | null; reason: string | null }
export interface Attendee { userId: string; userName: string; intervals: Interval[]; totalMs: number; signedAt: number | null }
export interface Moment {
  at: number; kind: string; text: string; conferenceId?: string; sessionId?: string; node?: string; clientType?: string; deviceId?: string; ip?: string
  reason?: string; noticeId?: string; event?: string; state?: string; version?: number
}
export interface Webhook {
  id: string; url: string; conferenceId: string; seq: number; type: string; state: 'pending' | 'sent' | 'dead'; attempts: number
  firstAt: number | null; lastAt: number | null; lastStatus: number; lastError: string; createdAt: number; body: unknown
}
export type Tree = Record<string, unknown> & { conferenceId: string; version: number; serverTime: number }
export interface Timer { state?: string; durationMs?: number; endsAt?: number; remainingMs?: number }
export type TimerAction = 'start' | 'pause' | 'resume' | 'extend' | 'reset'
export interface Filters {
  conferenceId?: string; senderId?: string; recipientId?: string; event?: string; category?: string; state?: string; label?: string; sendType?: string
  from?: string; to?: string; q?: string
}

/** What the server, or the way to it, says no with. */
export class Problem extends Error {
  constructor(
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    /** As in docs/protocol.md; `offline` when there was no answer. */
    readonly code: string,
    readonly detail = '',
    readonly errors: { location?: string; message?: string }[] = [],
    /** Seconds to wait before the next try; 0 if nothing was said. */
    readonly retryAfter = 0,
  ) {
    super(detail || code)
  }
}

type Values = Record<string, string | number | boolean | null | undefined>
interface Call { query?: Values; body?: unknown; text?: string; match?: number; tag?: string; signal?: AbortSignal }

let csrf = ''
let ahead = 0 // of our clock, that of the server
let onStranger = () => {}

/** Says what X-CSRF-Token is from now on. */
export function believe(token: string) { csrf = token }

/** Says whom to tell when the server does not know us any more. */
export function whenStranger(tell: () => void) { onStranger = tell }

/** The time by the clock of the server, to about a second. */
export function serverNow(): number { return Date.now() + ahead }

/** Values as a query, the blank ones left out. */
export function search(values: Values): string {
  const filled = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== '').map(([k, v]) => [k, String(v)])
  return filled.length > 0 ? '?' + new URLSearchParams(filled).toString() : ''
}

const at = (...path: string[]) => '/api/v1/' + path.map(encodeURIComponent).join('/')
const wait = (ms: number) => new Promise((done) => setTimeout(done, ms))

/** A key for one action, so that it happens once however often it is sent. Not randomUUID: pages from plain HTTP have none. */
const once = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-')

/** Sends a request; one that the server asks to repeat soon is repeated twice at most, which its idempotency key makes safe. */
async function send(method: string, url: string, call: Call = {}): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = {}
  const body = call.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body))
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (method !== 'GET' && csrf) headers['X-CSRF-Token'] = csrf
  if (/POST|PATCH/.test(method) && url !== at('session')) headers['Idempotency-Key'] = once()
  if (call.match !== undefined) headers['If-Match'] = `"${call.match}"`
  if (call.tag !== undefined) headers['If-None-Match'] = call.tag
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(url + search(call.query ?? {}), { method, headers, body, signal: call.signal }).catch((reason: unknown) => {
      if (call.signal?.aborted) throw reason
      throw new Problem(0, 'offline', String(reason))
    })
    const date = Date.parse(answer.headers.get('Date') ?? '')
    if (date) ahead = date + 500 - Date.now()
    const text = await answer.text()
    if (answer.ok || answer.status === 304) return { status: answer.status, text }
    const problem = problemOf(answer, text)
    const soon = problem.retryAfter > 0 && problem.retryAfter <= 5 && attempt < 2
    if (!soon) {
      if (problem.status === 401 && url !== at('session')) onStranger()
      throw problem
    }
    await wait(problem.retryAfter * 1000)
  }
}

function problemOf(answer: Response, text: string): Problem {
  const retryAfter = Number(answer.headers.get('Retry-After') ?? 0) || 0
  try {
    const said = JSON.parse(text) as { code?: string; detail?: string; errors?: Problem['errors'] }
    return new Problem(answer.status, said.code ?? 'internal', said.detail, said.errors, retryAfter)
  } catch {
    return new Problem(answer.status, 'internal', text.slice(0, 200), [], retryAfter)
  }
}

async function ask<T>(method: string, url: string, call?: Call): Promise<T> {
  const { text } = await send(method, url, call)
  return (text ? parse(text) : undefined) as T
}

const get = <T>(url: string, query?: Values, signal?: AbortSignal) => ask<T>('GET', url, { query, signal })
const post = <T>(url: string, body?: unknown) => ask<T>('POST', url, { body })

/** Everything that the console asks the server. All fail with a Problem. */
export const api = {
  session: () => get<Login>(at('session')),
  login: (key: string) => post<Login>(at('session'), { key }),
  logout: () => ask<void>('DELETE', at('session')),

  summary: (signal?: AbortSignal) => get<Summary>(at('presence', 'summary'), {}, signal),
  metrics: async (signal?: AbortSignal) => (await send('GET', '/metrics', { signal })).text,
  nodes: (signal?: AbortSignal) => get<{ items: Node[] }>(at('nodes'), {}, signal),
  purge: (id: string) => post<{ closed: number }>(at('nodes', id, 'purge')),

  notices: (filters: Filters, page: { limit: number; cursor?: string }, signal?: AbortSignal) => get<Page<Notice>>(at('notices'), { ...filters, ...page }, signal),
  notice: (id: string, signal?: AbortSignal) => get<Notice>(at('notices', id), {}, signal),
  deliveries: (id: string, cursor?: string, signal?: AbortSignal) => get<Page<Delivery>>(at('notices', id, 'deliveries'), { cursor, limit: 50 }, signal),
  recall: (id: string) => ask<void>('DELETE', at('notices', id)),
  exportOf: (filters: Filters) => at('notices', 'export.csv') + search({ ...filters }),

  conferences: (q: string, cursor?: string, signal?: AbortSignal) => get<Page<Conference>>(at('conferences'), { q, cursor, limit: 50 }, signal),
  conference: (id: string, signal?: AbortSignal) => get<Conference>(at('conferences', id), {}, signal),
  end: (id: string, ended: boolean) => ask<Conference>('PUT', at('conferences', id), { body: { ended } }),
  roster: (id: string, moment?: number, signal?: AbortSignal) => get<Roster>(at('conferences', id, 'presence'), { at: moment }, signal),
  attendance: (id: string, signal?: AbortSignal) => get<{ items: Attendee[] }>(at('conferences', id, 'attendance'), {}, signal),
  attendanceSheet: (id: string) => at('conferences', id, 'attendance') + '?format=csv',

  /** The tree, or null if it is the one of this version still. */
  tree: async (id: string, known?: number, signal?: AbortSignal): Promise<Tree | null> => {
    const { status, text } = await send('GET', at('conferences', id, 'tree'), { tag: known === undefined ? undefined : `"${known}"`, signal })
    return status === 304 ? null : (parse(text) as Tree)
  },
  /** Replaces a section by JSON as it was written, unless somebody changed a section after the version. */
  putSection: (id: string, section: string, text: string, version: number) =>
    ask<{ version: number; changed: string[] }>('PUT', at('conferences', id, 'tree', section), { text, match: version }),
  /** The same with a merge patch over all sections. */
  patchTree: (id: string, text: string, version: number) =>
    ask<{ version: number; changed: string[] }>('PATCH', at('conferences', id, 'tree'), { text, match: version }),
  pushTree: (id: string) => post<{ version: number }>(at('conferences', id, 'tree', 'push')),
  timer: (id: string, action: TimerAction, durationMs?: number) => post<{ version: number }>(at('conferences', id, 'timer'), { action, durationMs }),

  everybody: (cursor?: string, signal?: AbortSignal) => get<Page<Presence>>(at('presence'), { cursor, limit: 50 }, signal),
  person: (id: string, signal?: AbortSignal) => get<Presence>(at('users', id, 'presence'), {}, signal),
  inbox: (id: string, cursor?: string, signal?: AbortSignal) => get<Inbox>(at('users', id, 'inbox'), { cursor, limit: 50 }, signal),
  explain: (query: { userId: string; conferenceId?: string; from?: string; to?: string }, signal?: AbortSignal) => get<{ items: Moment[] }>(at('explain'), query, signal),
  kick: (id: string, how: { conferenceId?: string; reason?: string; barSeconds?: number }) => post<{ kicked: number }>(at('users', id, 'kick'), how),
  disconnect: (sessionId: string) => post<{ kicked: number }>(at('sessions', sessionId, 'disconnect')),

  webhooks: (state: string, cursor?: string, signal?: AbortSignal) => get<Page<Webhook>>(at('webhooks', 'deliveries'), { state, cursor, limit: 50 }, signal),
  replay: (id: string) => post<{ id: string; state: string }>(at('webhooks', 'deliveries', id, 'replay')),
}
