import { Clock } from './clock.js'
import { Line, up } from './connection.js'
import { Emitter } from './emitter.js'
import { isObject } from './json.js'
import { Mailbox } from './mailbox.js'
import type { Meeting } from './meeting.js'
import { Room } from './room.js'
import { firstSnapshot, Store } from './store.js'
import type { Category, ChatMessage, Coming, DirectMessage, Going, InboxItem, Json, MeetingEvents, MeetingOptions, Notice, Page, Roster, Snapshot, Tree, Unread, User, Welcome } from './types.js'
import type { Pong, PresenceDiff, PushMessage, TreePatch } from './wire.js'

/** How often the server is asked for its clock and versions, within a fifth. */
const PING_MS = 5000
/** The first time it is sooner: only then the clock is known well. */
const FIRST_PING_MS = 500

type Ack = (() => void) | undefined
type Handler = (args: never, ack: Ack) => void

/** The parameters of the handshake. */
export function handshake(options: MeetingOptions): Record<string, string> {
  const { userId, conferenceId, userName, deviceId, clientType = 'web', patches = true } = options
  const all = { userId, conferenceId, userName, deviceId, clientType, tree: patches ? 'patch' : undefined }
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/** A meeting with a socket of its own. */
export class Seat implements Meeting {
  private readonly emitter = new Emitter<MeetingEvents>()
  private readonly store: Store
  private readonly clock: Clock
  private readonly line: Line
  private readonly room: Room
  private readonly mailbox: Mailbox
  private timer: ReturnType<typeof setTimeout> | undefined

  /** `before` is what another seat of the same user knew, whose place this one takes. */
  constructor(options: MeetingOptions, before?: Snapshot) {
    this.store = new Store(before ?? firstSnapshot(), (snapshot) => this.emitter.emit('change', snapshot))
    this.clock = new Clock(this.store, () => this.line.clockChanged())
    const place = before?.self?.conferenceId ?? options.conferenceId
    this.line = new Line(options, handshake({ ...options, conferenceId: place === '' ? undefined : place }), {
      state: (connection) => this.store.set({ connection }),
      connected: () => this.schedulePing(FIRST_PING_MS),
      event: (name, args, ack) => this.receive(name, args, ack),
      serverNow: () => this.serverNow(),
    }, before?.connection)
    const ask = <T>(event: string, ...args: unknown[]) => this.line.ask<T>(event, ...args)
    this.room = new Room(place ?? '', this.store, ask)
    this.mailbox = new Mailbox(this.store, this.clock, this.emitter, ask)
  }

  get snapshot(): Snapshot {
    return this.store.snapshot
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

  /** Lets go without leaving: another seat takes this one's place. */
  handOver(): void {
    this.end(false)
  }

  serverNow(): number {
    return this.clock.now()
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
    if (conferenceId === this.room.place) return
    if (this.room.place !== '') await this.leave()
    this.enter(conferenceId) // the tree may come before the answer
    try {
      const { sessionId } = await this.line.ask<{ sessionId: string }>('user_login', { conferenceId })
      this.sit(conferenceId, sessionId)
    } catch (error) {
      if (this.room.place === conferenceId) this.enter('')
      throw error
    }
  }

  async leave(): Promise<void> {
    await this.line.ask('leave')
    this.enter('')
    this.sit('', '')
  }

  async acknowledge(ids: string[]): Promise<Unread> {
    const { unread } = await this.line.ask<{ unread: Unread }>('notice_ack', { ids })
    this.mailbox.acknowledged(ids, unread)
    return unread
  }

  async read(which: string[] | 'all', category?: Category): Promise<Unread> {
    const { unread } = await this.line.ask<{ unread: Unread }>('notice_read', which === 'all' ? { all: true, category } : { ids: which })
    this.mailbox.read(which, category, unread)
    return unread
  }

  async inbox(page: { cursor?: string; limit?: number; category?: Category; unreadOnly?: boolean } = {}): Promise<Page<InboxItem> & { unread: Unread }> {
    const answer = await this.line.ask<Page<InboxItem> & { unread: Unread }>('inbox', page)
    this.mailbox.counted(answer.unread)
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
    this.room.takeTree(tree)
    return tree
  }

  private end(leave: boolean): void {
    clearTimeout(this.timer)
    this.mailbox.stop()
    this.room.stop()
    this.line.close(leave)
    this.store.flush()
    this.emitter.clear()
  }

  private schedulePing(ms: number): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => void this.ping(), ms * (0.8 + Math.random() * 0.4))
  }

  private async ping(): Promise<void> {
    const sent = Date.now()
    try {
      const pong = await this.line.ask<Pong>('jywsping')
      this.clock.measure(pong.serverTime, sent)
      this.room.compare(pong)
    } catch {
      // Without a connection the next one begins anew, and without an answer the next ping may have one.
    }
    if (up.has(this.snapshot.connection.state)) this.schedulePing(PING_MS)
  }

  private enter(place: string): void {
    if (this.room.enter(place)) this.line.setPlace(place)
  }

  private sit(conferenceId: string, sessionId: string): void {
    const { self } = this.snapshot
    if (self) this.store.set({ self: { ...self, conferenceId, sessionId } })
  }

  private receive(name: string, args: Json[], ack: Ack): void {
    const handle = this.handlers.get(name)
    if (handle) return handle(args as never, ack)
    const [data = null, about] = args
    if (ack && args.length === 2 && isObject(about)) return this.mailbox.notice({ ...(about as unknown as Notice), data }, ack)
    this.emitter.emit('other', name, args)
    ack?.()
  }

  private readonly handlers = new Map<string, Handler>(
    Object.entries<Handler>({
      welcome: ([self]: [Welcome]) => {
        this.enter(self.conferenceId)
        this.store.set({ self })
        this.clock.guess(self.serverTime)
      },
      note_tree: ([tree]: [Tree]) => this.room.takeTree(tree),
      note_tree_patch: ([patch]: [TreePatch]) => this.room.patchTree(patch),
      presence_state: ([roster]: [Roster]) => this.room.takeRoster(roster),
      presence_diff: ([diff]: [PresenceDiff]) => this.room.diffRoster(diff),
      online_notice: ([who]: [Coming]) => this.emitter.emit('arrived', who),
      offline_notice: ([who]: [Going]) => this.emitter.emit('left', who),
      notice: (args: [Notice] | [Json, Omit<Notice, 'data'>], ack) => this.mailbox.notice(args.length === 1 ? args[0] : { ...args[1], data: args[0] }, ack),
      notice_recalled: ([{ id }]: [{ id: string }]) => this.mailbox.recall(id),
      push_message: ([push]: [PushMessage]) => this.mailbox.push(push),
      direct_message: ([message]: [DirectMessage], ack) => this.mailbox.direct(message, ack),
      todo_message: ([todo]: [Parameters<Mailbox['todo']>[0]], ack) => this.mailbox.todo(todo, ack),
      'chat message': ([body, about]: [Json, Omit<ChatMessage, 'body'>]) => this.emitter.emit('chat', { ...about, body }),
      timer_finished: ([{ at }]: [{ at: number }]) => this.emitter.emit('timerFinished', at),
      conference_ended: ([{ at }]: [{ at: number }]) => this.emitter.emit('conferenceEnded', at),
    }),
  )
}
