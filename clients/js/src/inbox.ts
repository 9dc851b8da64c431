import type { Category, Inbox, InboxItem, Notice, Unread } from './types.js'
import type { PushMessage } from './wire.js'

/** How many notices a client keeps: beyond it there is inbox(). */
const KEPT = 200
/** How many ids are remembered, so that what is sent again is not shown again. */
const REMEMBERED = 2000

export const emptyInbox: Inbox = { unread: { total: 0, byCategory: {} }, items: [], more: false }

/** The ids of the notices that were heard of, the oldest forgotten first. */
export class Seen {
  private readonly ids = new Set<string>()

  /** Reports whether the id is new. */
  add(id: string): boolean {
    if (this.ids.has(id)) return false
    this.ids.add(id)
    if (this.ids.size > REMEMBERED) for (const oldest of this.ids) return this.ids.delete(oldest)
    return true
  }
}

/** Adds a notice that just came. No new counts come with it, so it is counted here. */
export function addNotice(inbox: Inbox, notice: Notice): Inbox {
  if (inbox.items.some((item) => item.id === notice.id)) return inbox
  return { ...withItems(inbox, [{ ...notice, read: false }]), unread: count(inbox.unread, notice.category, 1) }
}

/** Takes counts and items as the server says them. */
export function mergePush(inbox: Inbox, push: PushMessage): Inbox {
  const next = withItems(inbox, push.items)
  return { ...next, unread: push.unread, more: next.more || push.more }
}

/** Takes out a notice that was recalled. */
export function recallNotice(inbox: Inbox, id: string): Inbox {
  const item = inbox.items.find((item) => item.id === id)
  if (!item) return inbox
  return { ...inbox, items: inbox.items.filter((other) => other !== item), unread: item.read ? inbox.unread : count(inbox.unread, item.category, -1) }
}

/** Marks what the server has just marked as read, with its counts. */
export function markRead(inbox: Inbox, which: string[] | 'all', category: Category | undefined, unread: Unread): Inbox {
  const marked = (item: InboxItem) => (which === 'all' ? category === undefined || item.category === category : which.includes(item.id))
  return { ...inbox, unread, items: inbox.items.map((item) => (!item.read && marked(item) ? { ...item, read: true } : item)) }
}

/** Remembers what was acknowledged, with the counts of the server: it is still unread. */
export function markAcknowledged(inbox: Inbox, ids: string[], unread: Unread): Inbox {
  return { ...inbox, unread, items: inbox.items.map((item) => (ids.includes(item.id) ? { ...item, acknowledged: true } : item)) }
}

function withItems(inbox: Inbox, news: InboxItem[]): Inbox {
  if (news.length === 0) return inbox
  const items = new Map(inbox.items.map((item) => [item.id, item]))
  for (const item of news) items.set(item.id, { ...items.get(item.id), ...item })
  const sorted = [...items.values()].sort((a, b) => (a.id < b.id ? 1 : -1)) // ids sort by time
  return { ...inbox, items: sorted.slice(0, KEPT), more: inbox.more || sorted.length > KEPT }
}

function count(unread: Unread, category: Category, change: 1 | -1): Unread {
  const { [category]: was = 0, ...others } = unread.byCategory
  const is = Math.max(0, was + change)
  return { total: Math.max(0, unread.total + change), byCategory: is > 0 ? { ...others, [category]: is } : others }
}
