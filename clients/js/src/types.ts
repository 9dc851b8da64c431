/** What rollcall says and what it is told. Times are milliseconds since 1970 by the server's clock. */

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** How a connection is doing, as a user should be told. */
export type ConnectionState =
  | 'idle' // connect() was not called yet
  | 'connecting' // for the first time
  | 'online'
  | 'reconnecting' // the line is lost, and it comes back by itself
  | 'draining' // online, but the server is about to stop and will be replaced
  | 'refused' // for good, at the door: see problem
  | 'ended' // for good, while in the room: see problem
  | 'closed' // by close()

/** Why a connection was refused or ended. `code` is one of docs/protocol.md, or the reason of `kicked`. */
export interface Problem {
  code: string
  message: string
  detail?: string
}

export interface Connection {
  state: ConnectionState
  /** Since when, by the clock of this machine. */
  since: number
  /** While connecting, reconnecting or draining: when the next attempt is due, by the clock of this machine. */
  retryAt?: number
  problem?: Problem
}

/** The first thing that a server says. */
export interface Welcome {
  sessionId: string
  userId: string
  userName: string
  conferenceId: string
  nodeId: string
  serverTime: number
  maxPayload: number
  eventsPerSecond: number
}

/** The tree of a conference. Sections hold whatever the meeting backend put there. */
export interface Tree {
  conferenceId: string
  version: number
  serverTime: number
  conferenceStatus?: Json
  conferenceInfo?: Json
  topicInfo?: Json
  countersignData?: Json
  timer?: Json
  sameScreen?: Json
  headData: { onLineNumber: number; [key: string]: Json }
  signInData?: Json
}

export interface Device {
  sessionId: string
  clientType: string
  deviceId: string
  connectedAt: number
}

export type PresenceState = 'online' | 'reconnecting' | 'absent' | 'excused'

export interface User {
  userId: string
  userName: string
  role: '' | 'host' | 'member' | 'observer'
  attrs: { [key: string]: Json }
  state: PresenceState
  /** When the state began, 0 for a member who never came. */
  since: number
  devices: Device[]
}

/** Who is there. `users` are members in the order of their list, then others as they came; `more` says that not all are listed. */
export interface Roster {
  conferenceId: string
  rosterVersion: number
  version: number
  online: number
  expected: number
  excused: number
  users: User[]
  more: boolean
}

export type Category = 'announcement' | 'remind' | 'subscription' | 'publication' | 'system' | 'mailbox'

export interface Notice {
  id: string
  event: string
  category: Category
  conferenceId: string
  senderId: string
  senderName: string
  title: string
  body: string
  data: Json
  requireAck: boolean
  createdAt: number
  expiresAt: number | null
}

export interface InboxItem extends Notice {
  read: boolean
  /** This client has acknowledged it. What other devices have acknowledged is not known. */
  acknowledged?: boolean
}

export interface Unread {
  total: number
  byCategory: Partial<Record<Category, number>>
}

/** The newest notices that this client has heard of, newest first, each id once. */
export interface Inbox {
  unread: Unread
  items: InboxItem[]
  /** There are more on the server: ask inbox(). */
  more: boolean
}

/** Everything that a page shows. It is never changed in place: each change makes a new one, and what has not changed stays the same object. */
export interface Snapshot {
  connection: Connection
  /** Null until a server has said welcome; then the last one. */
  self: Welcome | null
  tree: Tree | null
  roster: Roster | null
  inbox: Inbox
  /** What to add to Date.now() to have the time of the server, in milliseconds. */
  clockOffset: number
}

export interface ChatMessage {
  id: string
  userId: string
  userName: string
  at: number
  /** A string or an object, exactly as it was said. */
  body: Json
}

export interface DirectMessage {
  id: string
  from: string
  fromName: string
  at: number
  body: Json
}

export interface Coming {
  conferenceId: string
  userId: string
  userName: string
  at: number
}

export interface Going extends Coming {
  reason: 'left' | 'lost' | 'kicked' | 'node_lost'
}

/** What happens once, as opposed to what is. */
export interface MeetingEvents {
  /** Something in the snapshot has changed. Calls are batched: one for all that came in one frame. */
  change: (snapshot: Snapshot) => void
  /**
   * A notice came, or waited unread, the first time that this client hears of it. With `event` other than "notice" it is one of the backend's own.
   * Unless it has `requireAck` the server is told that it was had; with it that is left to acknowledge().
   */
  notice: (notice: Notice) => void
  recalled: (id: string) => void
  chat: (message: ChatMessage) => void
  direct: (message: DirectMessage) => void
  todo: (todo: { id: string; senderId: string; createdAt: number; [key: string]: Json }) => void
  arrived: (who: Coming) => void
  left: (who: Going) => void
  timerFinished: (at: number) => void
  conferenceEnded: (at: number) => void
  /** What was sent with POST /push or POST /api, and every other event without a place of its own: its name and its arguments. */
  other: (event: string, args: Json[]) => void
}

export interface MeetingOptions {
  /** The server; the origin of the page if it is left out. */
  url?: string
  /** socket.path of the server, "/socket.io/" if it is left out. */
  path?: string
  userId?: string
  conferenceId?: string
  /** Believed only by a server without auth. */
  userName?: string
  /** The kind of client, shown among the devices: "web" if it is left out. */
  clientType?: string
  deviceId?: string
  /** A token, or where to get a fresh one. It is asked for each connection, and again before the token of the connection expires. */
  token?: string | (() => string | Promise<string>)
  /** Take patches of the tree instead of whole ones: true if it is left out. */
  patches?: boolean
  /**
   * One socket for all tabs of this browser that say the same about server, user, conference and device. Needs a userId, Web Locks and BroadcastChannel; without
   * them each tab has its own. When the tab with the socket goes, another connects, and calls that are on their way fail with `offline`. join() and leave()
   * move all tabs.
   */
  shared?: boolean
  /** The longest pause between two attempts to connect, in milliseconds: 5000 if it is left out. The first is a tenth of it; half of each is random. */
  maxRetryDelay?: number
}

/** A page of a list, and the cursor of the next one: null at the end. */
export interface Page<T> {
  items: T[]
  next: string | null
}
