import type { Clock } from './clock.js'
import type { Emitter } from './emitter.js'
import { addNotice, markAcknowledged, markRead, mergePush, recallNotice, Seen } from './inbox.js'
import { isObject } from './json.js'
import type { Store } from './store.js'
import type { Category, DirectMessage, Inbox, InboxItem, Json, MeetingEvents, Notice, Page, Unread } from './types.js'
import type { Ask, PushMessage } from './wire.js'

/** When counts may be wrong, how long to wait for more reasons to ask: spread, as everybody in a room may have the same reason. */
const DOUBT_MS = { least: 500, most: 2500 }
/** A notice that is older than the last counts, within what clocks may be off, may be in them already. */
const SLACK_MS = 1000
/** The one kind of notice that every server keeps out of inboxes. */
const FLEETING = 'attend_login'

type Todo = { id: string; senderId: string; createdAt: number; [key: string]: Json }
type Ack = (() => void) | undefined

/** What is said to the user: each thing is announced once, and what waits for him is kept with the counts of the server. */
export class Mailbox {
  private readonly seen = new Seen()
  private countsAt = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly store: Store,
    private readonly clock: Clock,
    private readonly emitter: Emitter<MeetingEvents>,
    private readonly ask: Ask,
  ) {
    for (const { id } of this.inbox.items) this.seen.add(id)
  }

  /** Takes a notice that came by itself. The callback says that somebody had it: where a person must say so, it is left to acknowledge(). */
  notice(notice: Notice, ack: Ack): void {
    if (this.seen.add(notice.id)) {
      if (notice.event !== FLEETING) this.store.set({ inbox: addNotice(this.inbox, notice) })
      if (notice.createdAt < this.countsAt + SLACK_MS) this.doubt()
      this.announce(notice)
    }
    if (!notice.requireAck) ack?.()
  }

  direct({ id, from, fromName, at, body }: DirectMessage, ack: Ack): void {
    this.notice({ ...plain, id, event: 'direct_message', category: 'mailbox', senderId: from, senderName: fromName, data: body, createdAt: at }, ack)
  }

  todo({ id, senderId, createdAt, ...data }: Todo, ack: Ack): void {
    this.notice({ ...plain, id, event: 'todo_message', category: 'remind', senderId, senderName: '', data, createdAt }, ack)
  }

  push(push: PushMessage): void {
    this.count(mergePush(this.inbox, push))
    this.announceNew(push.items)
    if (push.items.length === 0) this.doubt() // something was settled elsewhere, and only the numbers were said
  }

  recall(id: string): void {
    if (!this.inbox.items.some((item) => item.id === id)) this.doubt() // it may have been among the unread
    this.seen.add(id)
    this.store.set({ inbox: recallNotice(this.inbox, id) })
    this.emitter.emit('recalled', id)
  }

  acknowledged(ids: string[], unread: Unread): void {
    this.count(markAcknowledged(this.inbox, ids, unread))
  }

  read(which: string[] | 'all', category: Category | undefined, unread: Unread): void {
    this.count(markRead(this.inbox, which, category, unread))
  }

  counted(unread: Unread): void {
    this.count({ ...this.inbox, unread })
  }

  stop(): void {
    clearTimeout(this.timer)
  }

  private get inbox(): Inbox {
    return this.store.snapshot.inbox
  }

  /** Takes counts that the server has just said. */
  private count(inbox: Inbox): void {
    this.countsAt = this.clock.now()
    this.store.set({ inbox })
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
    if (this.timer !== undefined) return
    const ask = async () => {
      this.timer = undefined
      try {
        const { unread, items, next } = await this.ask<Page<InboxItem> & { unread: Unread }>('inbox', { limit: 50 })
        this.count(mergePush(this.inbox, { unread, items, more: next !== null }))
        this.announceNew(items)
      } catch {
        // The next connection brings counts with it.
      }
    }
    this.timer = setTimeout(() => void ask(), DOUBT_MS.least + Math.random() * (DOUBT_MS.most - DOUBT_MS.least))
  }
}

const plain = { conferenceId: '', title: '', body: '', requireAck: false, expiresAt: null }
