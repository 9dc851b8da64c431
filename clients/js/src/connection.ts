import { io, type Socket } from 'socket.io-client'
import { RollcallError } from './errors.js'
import { freshToken, Reauth } from './reauth.js'
import type { Connection, ConnectionState, Json, MeetingOptions, Problem } from './types.js'

/** How long an answer may take. */
const ANSWER_MS = 10_000
/** How long it may take from the first byte to being let in. */
const ATTEMPT_MS = 30_000
/** How long a server that said when it will close may be late. */
const DRAIN_LATE_MS = 500

/** States in which there is a connection. */
export const up: ReadonlySet<ConnectionState> = new Set(['online', 'draining'])
/** Ends that only connect() overcomes. */
export const finished: ReadonlySet<ConnectionState> = new Set(['refused', 'ended'])

/** What a line tells whoever made it. */
export interface LineEvents {
  /** The state is another. */
  state(connection: Connection): void
  connected(): void
  /** An event came. `ack` is there if the server wants to know. */
  event(name: string, args: Json[], ack: (() => void) | undefined): void
  /** The time by the server's clock. */
  serverNow(): number
}

/** Returns how long to wait before the next attempt, after `failures` of them: doubling from a tenth of the longest, half of it random. */
export function retryDelay(failures: number, longest: number, random = Math.random): number {
  const delay = Math.min(longest, (longest / 10) * 2 ** Math.min(failures, 30))
  return delay / 2 + (random() * delay) / 2
}

/**
 * One socket that comes back by itself. The library's own reconnection is off: it knows neither of a server that says when to come back, nor when the
 * next attempt is due.
 */
export class Line {
  private connection: Connection = { state: 'idle', since: Date.now() }
  private readonly socket: Socket
  private readonly reauth: Reauth | undefined
  private readonly longest: number
  /** Counts attempts, so that what is late for one does nothing to the next. */
  private attempt = 0
  private trying = false
  private failures = 0
  private onlineSince = 0
  private wasOnline = false
  /** When a draining server has asked us to come back: 0 if it has not. */
  private returnAt = 0
  private timer: ReturnType<typeof setTimeout> | undefined
  private kicked: string | undefined

  /** The query is kept and changed by setPlace. `before` is the connection of a line whose place this one takes: what ended for good does not begin anew by that. */
  constructor(
    private readonly options: MeetingOptions,
    private readonly query: Record<string, string>,
    private readonly events: LineEvents,
    before?: Connection,
  ) {
    if (before && finished.has(before.state)) this.connection = before
    else this.wasOnline = before !== undefined && before.state !== 'connecting'
    this.longest = options.maxRetryDelay ?? 5000
    const settings = {
      path: options.path ?? '/socket.io/',
      query,
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      transports: ['websocket', 'polling'],
      withCredentials: true,
    }
    this.socket = options.url === undefined ? io(settings) : io(options.url, settings)
    const { token } = options
    if (typeof token === 'function') {
      const send = async (token: string) => (await this.ask<{ expiresAt: number | null }>('reauth', { token })).expiresAt
      this.reauth = new Reauth(() => freshToken(token), send, () => events.serverNow())
    }
    this.listen()
  }

  /** Connects, also again after an end. */
  open(): void {
    const { state } = this.connection
    if (state !== 'idle' && !finished.has(state)) return
    if (state !== 'idle') this.wasOnline = false
    this.failures = 0
    this.set(this.wasOnline ? 'reconnecting' : 'connecting')
    void this.try()
  }

  /** Ends the line: `leave` says so to the server, else it takes it for lost and waits for us. */
  close(leave: boolean): void {
    this.rest()
    this.set('closed')
    if (leave) this.socket.disconnect()
    else this.cut()
    this.socket.off()
    this.socket.offAny()
  }

  /** Says where the next connection goes. */
  setPlace(conferenceId: string): void {
    if (conferenceId === '') delete this.query.conferenceId
    else this.query.conferenceId = conferenceId
  }

  clockChanged(): void {
    this.reauth?.clockChanged()
  }

  /** Sends an event and returns its answer, without `ok`. */
  async ask<T>(event: string, ...args: unknown[]): Promise<T> {
    if (!this.socket.connected) throw new RollcallError('offline', 'there is no connection')
    let answer: { ok: boolean; error?: { code: string; message: string } }
    try {
      answer = await this.socket.timeout(ANSWER_MS).emitWithAck(event, ...args)
    } catch {
      if (this.socket.connected) throw new RollcallError('timeout', `the server did not answer ${event}`)
      throw new RollcallError('offline', 'the connection was lost before the answer came')
    }
    const { ok, error, ...rest } = answer
    if (!ok) throw new RollcallError(error?.code ?? 'internal', error?.message ?? `${event} failed`)
    return rest as T
  }

  private listen(): void {
    this.socket.on('connect', () => this.up())
    this.socket.on('connect_error', (error: Error & { data?: { code?: string; detail?: string } }) => {
      if (error.data?.code) this.end('refused', { code: error.data.code, message: error.message, ...(error.data.detail ? { detail: error.data.detail } : {}) })
      else this.lost()
    })
    this.socket.on('disconnect', (reason) => {
      if (reason !== 'io server disconnect') return this.lost()
      const code = this.kicked ?? 'kicked'
      this.end('ended', { code, message: `The server has ended this connection: ${code}.` })
    })
    this.socket.onAny((name: string, ...args: unknown[]) => {
      const last = args.at(-1)
      const ack = typeof last === 'function' ? (args.pop(), () => void last()) : undefined
      const [first] = args as [{ reason?: string; reconnectAfterMs?: number } | undefined]
      if (name === 'kicked') this.kicked = first?.reason
      else if (name === 'server_draining') this.drain(first?.reconnectAfterMs ?? 0)
      else this.events.event(name, args as Json[], ack)
    })
  }

  private async try(): Promise<void> {
    const attempt = ++this.attempt
    const current = () => attempt === this.attempt
    this.trying = true
    let token: string | undefined
    try {
      if (this.options.token !== undefined) token = await freshToken(this.options.token)
    } catch {
      if (current()) this.lost()
      return
    }
    if (!current()) return
    this.timer = setTimeout(() => {
      this.cut()
      this.lost()
    }, ATTEMPT_MS)
    this.kicked = undefined
    // Where WebSockets do not get through polling may; a server that is just not there is not asked twice each time for that.
    this.socket.io.opts.tryAllTransports = this.failures % 2 === 1
    this.socket.auth = token === undefined ? {} : { token }
    this.socket.connect()
  }

  private up(): void {
    clearTimeout(this.timer)
    this.returnAt = 0
    this.onlineSince = Date.now()
    this.wasOnline = true
    this.set('online')
    const { token } = this.socket.auth as { token?: string }
    if (token !== undefined) this.reauth?.start(token)
    this.events.connected()
  }

  /** The server is about to stop and has said when it will close this connection. */
  private drain(ms: number): void {
    this.returnAt = Date.now() + ms
    this.set('draining', this.returnAt)
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.cut(), ms + DRAIN_LATE_MS)
  }

  private lost(): void {
    if (!this.trying) return
    // A connection that was cut at once is no better than none: the pauses go on growing.
    if (up.has(this.connection.state) && Date.now() - this.onlineSince > this.longest) this.failures = 0
    const wait = this.returnAt > 0 ? Math.max(0, this.returnAt - Date.now()) : retryDelay(this.failures++, this.longest)
    this.rest()
    this.set(this.wasOnline ? 'reconnecting' : 'connecting', Date.now() + wait)
    this.timer = setTimeout(() => void this.try(), wait)
  }

  private end(state: 'refused' | 'ended', problem: Problem): void {
    this.rest()
    this.set(state, undefined, problem)
  }

  /** Nothing is on its way any more. */
  private rest(): void {
    clearTimeout(this.timer)
    this.reauth?.stop()
    this.attempt++
    this.trying = false
    this.returnAt = 0
  }

  /** Closes the transport without a word: others see us reconnecting. */
  private cut(): void {
    this.socket.io.engine?.close()
  }

  private set(state: ConnectionState, retryAt?: number, problem?: Problem): void {
    const since = state === this.connection.state ? this.connection.since : Date.now()
    this.connection = { state, since, ...(retryAt === undefined ? {} : { retryAt }), ...(problem ? { problem } : {}) }
    this.events.state(this.connection)
  }
}
