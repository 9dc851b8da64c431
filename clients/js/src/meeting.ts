import { Seat } from './seat.js'
import { canShare, SharedSeat } from './shared.js'
import type { ChatMessage, InboxItem, Json, MeetingEvents, MeetingOptions, Page, Snapshot, Tree, Unread, User, Category } from './types.js'

/**
 * A seat in a meeting: one connection that comes back by itself, and what it knows. Nothing is connected until connect().
 *
 * All methods that return a promise ask the server. They fail with a RollcallError when it says no, when it does not answer within ten seconds,
 * and at once (`offline`) while there is no connection.
 */
export interface Meeting {
  /** What is known now. */
  readonly snapshot: Snapshot
  /** Calls listener whenever the event happens, until the function that it returns is called. */
  on<E extends keyof MeetingEvents>(event: E, listener: MeetingEvents[E]): () => void
  connect(): void
  /** Leaves without grace and lets go of everything. It cannot be connected again. */
  close(): void
  /** The time of the server now, in milliseconds since 1970. */
  serverNow(): number

  chat(body: string | { [key: string]: Json }): Promise<{ id: string }>
  /** What was said before, newest first. */
  chatHistory(page?: { before?: string; limit?: number }): Promise<Page<ChatMessage>>
  direct(to: string, body: Json, clientMsgId?: string): Promise<{ id: string; delivered: number; queued: boolean }>
  signIn(extra?: { [key: string]: Json }): Promise<{ signedAt: number }>
  share(action: 'start' | 'end'): Promise<void>
  /** Enters another conference without another connection. */
  join(conferenceId: string): Promise<void>
  /** Leaves the conference; the connection stays. */
  leave(): Promise<void>
  acknowledge(ids: string[]): Promise<Unread>
  /** Marks as read: some, or all, or all of a category. */
  read(which: string[] | 'all', category?: Category): Promise<Unread>
  inbox(page?: { cursor?: string; limit?: number; category?: Category; unreadOnly?: boolean }): Promise<Page<InboxItem> & { unread: Unread }>
  roster(page?: { cursor?: string; limit?: number }): Promise<Page<User> & { rosterVersion: number }>
  /** Says something to the backend, as webhook client.event. */
  tell(payload: string | { [key: string]: Json }): Promise<void>
  resync(): Promise<Tree>
}

/** Makes a seat. */
export function createMeeting(options: MeetingOptions): Meeting {
  return canShare(options) ? new SharedSeat(options) : new Seat(options)
}
