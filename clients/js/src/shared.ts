import { finished, up } from './connection.js'
import { Emitter } from './emitter.js'
import { RollcallError } from './errors.js'
import { keep } from './json.js'
import type { Meeting } from './meeting.js'
import { takeRoster } from './roster.js'
import { handshake, Seat } from './seat.js'
import { firstSnapshot } from './store.js'
import type { MeetingEvents, MeetingOptions, Snapshot } from './types.js'

/** How long a follower waits for an answer: a little longer than the leader does. */
const ANSWER_MS = 12_000

type Call = 'chat' | 'chatHistory' | 'direct' | 'signIn' | 'share' | 'join' | 'leave' | 'acknowledge' | 'read' | 'inbox' | 'roster' | 'tell' | 'resync'

const happenings = ['notice', 'recalled', 'chat', 'direct', 'todo', 'arrived', 'left', 'timerFinished', 'conferenceEnded', 'other'] as const
type Happening = (typeof happenings)[number]

/** What tabs say to each other. `to` and `from` are tabs. */
type Message =
  | { kind: 'hello' } // a new tab wants to know everything
  | { kind: 'lead'; snapshot: Snapshot } // a tab has become the leader
  | { kind: 'all'; snapshot: Snapshot } // the answer to hello
  | { kind: 'news'; part: Partial<Snapshot> }
  | { kind: 'event'; event: Happening; args: unknown[] }
  | { kind: 'connect' } // again, after an end
  | { kind: 'call'; from: string; id: number; method: Call; args: unknown[] }
  | { kind: 'answer'; to: string; id: number; value?: unknown; error?: { code: string; message: string } }

/** Reports whether tabs can share a socket here, and may: without a userId they could be of different people. */
export function canShare({ shared, userId }: MeetingOptions): boolean {
  if (shared !== true || !userId) return false
  return typeof BroadcastChannel === 'function' && typeof location === 'object' && typeof navigator === 'object' && !!navigator.locks
}

function nameOf(options: MeetingOptions): string {
  const server = new URL(options.url ?? '', location.href).origin
  return `rollcall:${JSON.stringify([server, options.path ?? '/socket.io/', handshake(options)])}`
}

/**
 * A meeting that several tabs have in common. The tab that holds a Web Lock is the leader and has the socket; a channel brings the snapshot and all events
 * to the others, and their calls to it. When the leader goes, the lock goes to the next tab, which connects and carries on with what it knows.
 */
export class SharedSeat implements Meeting {
  private readonly emitter = new Emitter<MeetingEvents>()
  private readonly name: string
  private readonly tab = Math.random().toString(36).slice(2)
  private readonly abort = new AbortController()
  private channel: BroadcastChannel | undefined
  /** The socket, while this tab leads. */
  private seat: Seat | undefined
  /** What the leader has said; while this tab leads, what it has said to the others. */
  private mirror = firstSnapshot()
  /** The leader has said everything once, so that news mean something. */
  private informed = false
  private closed = false
  private calls = 0
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()

  constructor(private readonly options: MeetingOptions) {
    this.name = nameOf(options)
  }

  get snapshot(): Snapshot {
    return this.seat?.snapshot ?? this.mirror
  }

  on<E extends keyof MeetingEvents>(event: E, listener: MeetingEvents[E]): () => void {
    return this.emitter.on(event, listener)
  }

  connect(): void {
    if (this.closed) return
    if (this.seat) return this.seat.connect()
    if (this.channel) return this.post({ kind: 'connect' })
    this.channel = new BroadcastChannel(this.name)
    this.channel.onmessage = (event: MessageEvent<Message>) => this.hear(event.data)
    this.take({ connection: { state: 'connecting', since: Date.now() } })
    this.post({ kind: 'hello' })
    navigator.locks.request(this.name, { signal: this.abort.signal }, () => this.lead()).catch(() => {
      if (this.closed) return
      this.channel?.close() // no locks for this page after all: a socket of its own
      this.channel = undefined
      void this.lead()
    })
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.abort.abort()
    this.mirror = { ...this.snapshot, connection: { state: 'closed', since: Date.now() } }
    this.fail('this tab was closed')
    const { seat } = this
    this.seat = undefined
    this.emitter.emit('change', this.mirror)
    this.emitter.clear()
    if (seat) void this.resign(seat)
    else this.channel?.close()
  }

  serverNow(): number {
    return Date.now() + this.snapshot.clockOffset
  }

  readonly chat = this.through('chat')
  readonly chatHistory = this.through('chatHistory')
  readonly direct = this.through('direct')
  readonly signIn = this.through('signIn')
  readonly share = this.through('share')
  readonly join = this.through('join')
  readonly leave = this.through('leave')
  readonly acknowledge = this.through('acknowledge')
  readonly read = this.through('read')
  readonly inbox = this.through('inbox')
  readonly roster = this.through('roster')
  readonly tell = this.through('tell')
  readonly resync = this.through('resync')

  private done: () => void = () => {}

  /** Has the socket until the tab closes. */
  private lead(): Promise<void> {
    if (this.closed) return Promise.resolve()
    const before = this.informed ? this.mirror : undefined
    const seat = new Seat(this.options, before)
    this.seat = seat
    seat.on('change', (snapshot) => {
      this.publish()
      if (!this.closed) this.emitter.emit('change', snapshot)
    })
    for (const event of happenings) {
      seat.on(event, (...args: unknown[]) => {
        this.publish() // so that the others see what has changed before they hear why
        this.post({ kind: 'event', event, args })
        if (!this.closed) this.emitter.emit(event, ...(args as Parameters<MeetingEvents[typeof event]>))
      })
    }
    if (!before || !finished.has(before.connection.state)) seat.connect()
    this.mirror = seat.snapshot
    this.post({ kind: 'lead', snapshot: this.mirror })
    this.fail('the tab with the socket was closed')
    return new Promise((done) => (this.done = done))
  }

  /** Gives the socket up: silently if another tab waits for the lock and takes over, else the user leaves. */
  private async resign(seat: Seat): Promise<void> {
    const { pending = [] } = (await navigator.locks.query().catch(() => undefined)) ?? {}
    if (pending.some((lock) => lock.name === this.name)) seat.handOver()
    else seat.close()
    this.channel?.close()
    this.done()
  }

  /** Tells the other tabs what has changed since they were told last. */
  private publish(): void {
    if (!this.seat) return
    const before = this.mirror
    this.mirror = this.seat.snapshot
    const part = Object.fromEntries(Object.entries(this.mirror).filter(([key, value]) => value !== before[key as keyof Snapshot]))
    if (Object.keys(part).length > 0) this.post({ kind: 'news', part })
  }

  private post(message: Message): void {
    this.channel?.postMessage(message)
  }

  private hear(message: Message): void {
    if (this.closed) return
    if (this.seat) this.serve(this.seat, message)
    else this.follow(message)
  }

  private serve(seat: Seat, message: Message): void {
    if (message.kind === 'hello') {
      this.publish()
      this.post({ kind: 'all', snapshot: seat.snapshot })
    } else if (message.kind === 'connect') seat.connect()
    else if (message.kind === 'call') void this.answer(seat, message)
  }

  private async answer(seat: Seat, { from, id, method, args }: Extract<Message, { kind: 'call' }>): Promise<void> {
    try {
      const value = await (seat[method] as (...args: unknown[]) => Promise<unknown>)(...args)
      this.publish()
      this.post({ kind: 'answer', to: from, id, value })
    } catch (error) {
      const { code, message } = error instanceof RollcallError ? error : { code: 'internal', message: String(error) }
      this.post({ kind: 'answer', to: from, id, error: { code, message } })
    }
  }

  private follow(message: Message): void {
    switch (message.kind) {
      case 'lead':
        this.fail('the tab with the socket was closed')
        this.informed = true
        return this.take(message.snapshot)
      case 'all':
        if (this.informed) return // said to another tab
        this.informed = true
        return this.take(message.snapshot)
      case 'news':
        if (this.informed) this.take(message.part)
        return
      case 'event':
        if (this.informed) this.emitter.emit(message.event, ...(message.args as never))
        return
      case 'answer': {
        if (message.to !== this.tab) return
        const call = this.waiting.get(message.id)
        if (message.error) call?.reject(new RollcallError(message.error.code, message.error.message))
        else call?.resolve(message.value)
      }
    }
  }

  /** Takes a part of a snapshot. It came through the channel as a copy: what is not different from what was here stays. */
  private take(part: Partial<Snapshot>): void {
    const was = this.mirror
    const is = { ...was }
    for (const key of Object.keys(part) as (keyof Snapshot)[]) Object.assign(is, { [key]: keep(was[key], part[key]) })
    if (part.roster) is.roster = takeRoster(was.roster, part.roster)
    if (Object.keys(is).every((key) => is[key as keyof Snapshot] === was[key as keyof Snapshot])) return
    this.mirror = is
    this.emitter.emit('change', is)
  }

  private through<M extends Call>(method: M): Meeting[M] {
    return ((...args: unknown[]) => {
      if (this.seat) return (this.seat[method] as (...args: unknown[]) => Promise<unknown>)(...args)
      return this.request(method, args)
    }) as Meeting[M]
  }

  private request(method: Call, args: unknown[]): Promise<unknown> {
    if (!up.has(this.snapshot.connection.state)) return Promise.reject(new RollcallError('offline', 'there is no connection'))
    const id = ++this.calls
    let timer: ReturnType<typeof setTimeout> | undefined
    const answer = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      timer = setTimeout(() => reject(new RollcallError('timeout', 'the tab with the socket did not answer')), ANSWER_MS)
      this.post({ kind: 'call', from: this.tab, id, method, args })
    })
    return answer.finally(() => {
      clearTimeout(timer)
      this.waiting.delete(id)
    })
  }

  /** Whether calls that are on their way were done or not, nobody can say. */
  private fail(why: string): void {
    for (const { reject } of this.waiting.values()) reject(new RollcallError('offline', why))
  }
}
