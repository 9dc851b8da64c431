import { Line } from './connection.js'
import { Emitter } from './emitter.js'
import { addNotice, emptyInbox, markAcknowledged, markRead, mergePush, recallNotice, Seen } from './inbox.js'
import { isObject } from './json.js'
import type { Meeting } from './meeting.js'
import { Replica } from './replica.js'
import { diffRoster, readRoster, takeRoster, type KnownRoster } from './roster.js'
import { patchTree, takeTree } from './tree.js'
import type { Category, ChatMessage, Coming, DirectMessage, Going, InboxItem, Json, MeetingEvents, MeetingOptions, Notice, Page, Snapshot, Tree, Unread, User, Welcome } from './types.js'
import type { PresenceDiff, PushMessage, Pong, RosterPage, TreePatch } from './wire.js'

/** How often the server is asked for its versions, within a fifth. */
const PING_MS = 5000
/** How long a push may take from the server's memory to here before it counts as lost. */
const PATIENCE_MS = 1500
/** When counts may be wrong, how long to wait for more reasons to ask: spread, as everybody in a room may have the same reason. */
const DOUBT_MS = { least: 500, most: 2500 }
/** A notice that is older than the last counts, within what clocks may be off, may be in them already. */
const COUNTS_SLACK_MS = 1000
/** How much better a measured clock must be to be worth a change. */
const CLOCK_STEP_MS = 10
/** A measure of the clock is good for so long; then a worse one takes its place. */
const CLOCK_MS = 5 * 60_000

/** Never stored, and in no inbox. */
const FLEETING = 'attend_login'

export function firstSnapshot(): Snapshot {
  return { connection: { state: 'idle', since: Date.now() }, self: null, tree: null, roster: null, inbox: emptyInbox, clockOffset: 0 }
}

/** The parameters of the handshake. */
export function handshake(options: MeetingOptions): Record<string, string> {
  const { userId, conferenceId, userName, deviceId, clientType = 'web', patches = true } = options
  const all = { userId, conferenceId, userName, deviceId, clientType, tree: patches ? 'patch' : undefined }
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/** A meeting with a socket of its own. */
export class Seat implements Meeting {
  snapshot: Snapshot
  private readonly emitter = new Emitter<MeetingEvents>()
  private readonly line: Line
  private readonly treeCopy: Replica<Tree, TreePatch>
  private readonly rosterCopy: Replica<KnownRoster, PresenceDiff>
  private readonly seen = new Seen()
  /** The conference that we are in or want to be in, "" for none. */
  private place: string
  /** The most users that a whole roster had. */
  private listed = 0
  private countsAt = 0
  private clock = { error: Infinity, at: 0 }
  private changing = false
  private pingTimer: ReturnType<typeof setTimeout> | undefined
  private doubtTimer: ReturnType<typeof setTimeout> | undefined

  /** `before` is what another seat of the same user knew, that this one carries on. */
  constructor(options: MeetingOptions, before?: Snapshot) {
    this.snapshot = before ?? firstSnapshot()
    this.place = before?.self?.conferenceId ?? options.conferenceId ?? ''
    this.treeCopy = new Replica({
      version: (tree) => tree.version,
      target: (patch) => patch.to,
      take: takeTree,
      apply: (tree, patch) => (patch.from === tree.version ? patchTree(tree, patch) : null),
      read: async () => (await this.line.ask<{ tree: Tree }>('tree_resync')).tree,
      changed: (tree) => this.set({ tree }),
    })
    this.rosterCopy = new Replica({
      version: (known) => known.roster.rosterVersion,
      target: (diff) => diff.rosterVersion,
      take: takeRoster,
      apply: diffRoster,
      read: () => readRoster(this.place, this.listed, (cursor) => this.line.ask<RosterPage>('roster', { cursor, limit: 200 })),
      changed: (known) => this.set({ roster: known?.roster ?? null }),
    })
    if (before?.tree) this.treeCopy.value = before.tree
    if (before?.roster) this.rosterCopy.value = { roster: before.roster, stale: false }
    for (const { id } of before?.inbox.items ?? []) this.seen.add(id)
    this.line = new Line(options, handshake({ ...options, conferenceId: this.place === '' ? undefined : this.place }), {
      state: (connection) => this.set({ connection }),
      connected: () => this.connected(),
      event: (name, args, ack) => this.receive(name, args, ack),
      serverNow: () => this.serverNow(),
    })
  }

  on<E extends keyof MeetingEvents>(event: E, listener: MeetingEvents[E]): () => void {
    return this.emitter.on(event, listener)
  }

  connect(): void {
    this.line.open()
  }

  close(): void {
    this.end(true)
  }

  /** Lets go without leaving: another seat carries on. */
  handOver(): void {
    this.end(false)
  }

  serverNow(): number {
    return Date.now() + this.snapshot.clockOffset
  }

  chat(body: string | { [key: string]: Json }): Promise<{ id: string }> {
    return this.line.ask('chat message', body)
  }

  chatHistory(page: { before?: string; limit?: number } = {}): Promise<Page<ChatMessage>> {
    return this.line.ask('chat_history', page)
  }

  direct(to: string, body: Json, clientMsgId?: string): Promise<{ id: string; delivered: number; queued: boolean }> {
    return this.line.ask('direct_message', { to, body, clientMsgId })
  }

  signIn(extra?: { [key: string]: Json }): Promise<{ signedAt: number }> {
    return this.line.ask('sign_in', ...(extra ? [extra] : []))
  }

  async share(action: 'start' | 'end'): Promise<void> {
    await this.line.ask('same_screen', { action })
  }

  async join(conferenceId: string): Promise<void> {
    if (conferenceId === this.place) return
    if (this.place !== '') await this.leave()
    this.enter(conferenceId) // the tree may come before the answer
    try {
      const { sessionId } = await this.line.ask<{ sessionId: string }>('user_login', { conferenceId })
      this.sit({ conferenceId, sessionId })
    } catch (error) {
      if (this.place === conferenceId) this.enter('')
      throw error
    }
  }

  async leave(): Promise<void> {
    await this.line.ask('leave')
    this.enter('')
    this.sit({ conferenceId: '', sessionId: '' })
  }

  async acknowledge(ids: string[]): Promise<Unread> {
    const { unread } = await this.line.ask<{ unread: Unread }>('notice_ack', { ids })
    this.count(markAcknowledged(this.snapshot.inbox, ids, unread))
    return unread
  }

  async read(which: string[] | 'all', category?: Category): Promise<Unread> {
    const { unread } = await this.line.ask<{ unread: Unread }>('notice_read', which === 'all' ? { all: true, category } : { ids: which })
    this.count(markRead(this.snapshot.inbox, which, category, unread))
    return unread
  }

  async inbox(page: { cursor?: string; limit?: number; category?: Category; unreadOnly?: boolean } = {}): Promise<Page<InboxItem> & { unread: Unread }> {
    const answer = await this.line.ask<Page<InboxItem> & { unread: Unread }>('inbox', page)
    this.count({ ...this.snapshot.inbox, unread: answer.unread })
    return answer
  }

  roster(page: { cursor?: string; limit?: number } = {}): Promise<Page<User> & { rosterVersion: number }> {
    return this.line.ask('roster', page)
  }

  async tell(payload: string | { [key: string]: Json }): Promise<void> {
    await this.line.ask('receive_client_event', payload)
  }

  async resync(): Promise<Tree> {
    const { tree } = await this.line.ask<{ tree: Tree }>('tree_resync')
    if (tree.conferenceId === this.place) this.treeCopy.whole(tree)
    return tree
  }

  private end(leave: boolean): void {
    clearTimeout(this.pingTimer)
    clearTimeout(this.doubtTimer)
    this.treeCopy.stop()
    this.rosterCopy.stop()
    this.line.close(leave)
    this.flush()
    this.emitter.clear()
  }

  private set(part: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...part }
    if (this.changing) return
    this.changing = true
    queueMicrotask(() => this.flush())
  }

  private flush(): void {
    if (!this.changing) return
    this.changing = false
    this.emitter.emit('change', this.snapshot)
  }

  private connected(): void {
    clearTimeout(this.pingTimer)
    this.schedulePing()
  }

  private schedulePing(): void {
    this.pingTimer = setTimeout(() => void this.ping(), PING_MS * (0.8 + Math.random() * 0.4))
  }

  /** Asks for the server's clock and versions: the last frames may have been lost, with nothing after them to show it. */
  private async ping(): Promise<void> {
    const sent = Date.now()
    try {
      const { serverTime, version, rosterVersion } = await this.line.ask<Pong>('jywsping')
      const way = (Date.now() - sent) / 2
      this.measure(serverTime, way, way)
      if (this.place !== '') {
        this.treeCopy.hint(version, PATIENCE_MS)
        this.rosterCopy.hint(rosterVersion, PATIENCE_MS)
      }
    } catch {
      // The next one may have an answer; and without a connection the next connection begins anew.
    }
    clearTimeout(this.pingTimer)
    if (['online', 'draining'].includes(this.snapshot.connection.state)) this.schedulePing()
  }

  /** Takes a measure of the server's clock, `way` milliseconds old and wrong by at most `error`, if none better is at hand. */
  private measure(serverTime: number, way: number, error: number): void {
    const now = Date.now()
    if (error > this.clock.error && now - this.clock.at < CLOCK_MS) return
    this.clock = { error, at: now }
    const clockOffset = Math.round(serverTime + way - now)
    if (Math.abs(clockOffset - this.snapshot.clockOffset) < CLOCK_STEP_MS) return
    this.set({ clockOffset })
    this.line.clockChanged()
  }

  private enter(place: string): void {
    if (place === this.place) return
    this.place = place
    this.line.setPlace(place)
    this.listed = 0
    this.treeCopy.reset()
    this.rosterCopy.reset()
  }

  private sit(where: Pick<Welcome, 'conferenceId' | 'sessionId'>): void {
    if (this.snapshot.self) this.set({ self: { ...this.snapshot.self, ...where } })
  }

  private count(inbox: Snapshot['inbox']): void {
    this.countsAt = this.serverNow()
    this.set({ inbox })
  }

  private receive(name: string, args: Json[], ack: (() => void) | undefined): void {
    const handle = this.handlers.get(name)
    if (handle) return handle(args as never, ack)
    const [data, about] = args
    if (ack && args.length === 2 && isObject(about)) return this.notice({ ...(about as unknown as Notice), data: data ?? null }, ack)
    this.emitter.emit('other', name, args)
    ack?.()
  }

  private readonly handlers = new Map<string, Handler>(Object.entries<Handler>({
    welcome: ([self]: [Welcome]) => {
      this.enter(self.conferenceId)
      this.set({ self })
      if (this.clock.at === 0) this.measure(self.serverTime, 0, 1000) // how long it was on its way is not known
    },
    note_tree: ([tree]: [Tree]) => {
      if (tree.conferenceId === this.place) this.treeCopy.whole(tree)
    },
    note_tree_patch: ([patch]: [TreePatch]) => {
      if (patch.conferenceId === this.place) this.treeCopy.step(patch)
    },
    presence_state: ([roster]: [KnownRoster['roster']]) => {
      if (roster.conferenceId !== this.place) return
      this.listed = Math.max(this.listed, roster.users.length)
      this.rosterCopy.whole({ roster, stale: false })
    },
    presence_diff: ([diff]: [PresenceDiff]) => {
      if (diff.conferenceId === this.place) this.rosterCopy.step(diff)
    },
    online_notice: ([who]: [Coming]) => this.emitter.emit('arrived', who),
    offline_notice: ([who]: [Going]) => this.emitter.emit('left', who),
    notice: (args: [Notice] | [Json, Omit<Notice, 'data'>], ack?: () => void) => this.notice(args.length === 2 ? { ...args[1], data: args[0] } : args[0], ack),
    notice_recalled: ([{ id }]: [{ id: string }]) => {
      if (this.seen.add(id) || !this.snapshot.inbox.items.some((item) => item.id === id)) this.doubt()
      this.set({ inbox: recallNotice(this.snapshot.inbox, id) })
      this.emitter.emit('recalled', id)
    },
    push_message: ([push]: [PushMessage]) => {
      this.count(mergePush(this.snapshot.inbox, push))
      if (push.items.length === 0) this.doubt() // something was settled elsewhere, and only the numbers were said
      this.announceNew(push.items)
    },
    direct_message: ([message]: [DirectMessage], ack?: () => void) => this.notice(directNotice(message), ack),
    todo_message: ([todo]: [Todo], ack?: () => void) => this.notice(todoNotice(todo), ack),
    'chat message': ([body, about]: [Json, Omit<ChatMessage, 'body'>]) => this.emitter.emit('chat', { ...about, body }),
    timer_finished: ([{ at }]: [{ at: number }]) => this.emitter.emit('timerFinished', at),
    conference_ended: ([{ at }]: [{ at: number }]) => this.emitter.emit('conferenceEnded', at),
  }))

  /** Takes a notice that came by itself. The callback says that somebody had it: where a person must say so, it is left to acknowledge(). */
  private notice(notice: Notice, ack: (() => void) | undefined): void {
    if (this.seen.add(notice.id)) {
      if (notice.event !== FLEETING) this.set({ inbox: addNotice(this.snapshot.inbox, notice) })
      if (notice.createdAt < this.countsAt + COUNTS_SLACK_MS) this.doubt()
      this.announce(notice)
    }
    if (!notice.requireAck) ack?.()
  }

  /** Announces what a list from the server has that was not heard of yet, the oldest first. */
  private announceNew(items: InboxItem[]): void {
    for (const item of [...items].reverse()) if (this.seen.add(item.id) && !item.read) this.announce(item)
  }

  private announce(notice: Notice): void {
    const { id, senderId, senderName, createdAt, data, event } = notice
    if (event === 'direct_message') this.emitter.emit('direct', { id, from: senderId, fromName: senderName, at: createdAt, body: data })
    else if (event === 'todo_message') this.emitter.emit('todo', { ...(isObject(data) ? data : {}), id, senderId, createdAt })
    else this.emitter.emit('notice', notice)
  }

  /** The counts may be wrong: asks for them, after a while and once for all reasons that come until then. */
  private doubt(): void {
    if (this.doubtTimer !== undefined) return
    const ask = async () => {
      this.doubtTimer = undefined
      try {
        const { unread, items, next } = await this.line.ask<Page<InboxItem> & { unread: Unread }>('inbox', { limit: 50 })
        this.count(mergePush(this.snapshot.inbox, { unread, items, more: next !== null }))
        this.announceNew(items)
      } catch {
        // The next connection brings counts with it.
      }
    }
    this.doubtTimer = setTimeout(() => void ask(), DOUBT_MS.least + Math.random() * (DOUBT_MS.most - DOUBT_MS.least))
  }
}

type Handler = (args: never, ack?: () => void) => void

type Todo = { id: string; senderId: string; createdAt: number; [key: string]: Json }

function directNotice({ id, from, fromName, at, body }: DirectMessage): Notice {
  return { ...said, id, event: 'direct_message', category: 'mailbox', senderId: from, senderName: fromName, data: body, createdAt: at }
}

function todoNotice({ id, senderId, createdAt, ...data }: Todo): Notice {
  return { ...said, id, event: 'todo_message', category: 'remind', senderId, senderName: '', data, createdAt }
}

const said = { conferenceId: '', title: '', body: '', requireAck: false, expiresAt: null }
