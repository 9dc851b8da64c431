import type { InboxItem, Json, Unread, User } from './types.js'

// Frames of docs/protocol.md that applications do not see.

export interface TreePatch {
  conferenceId: string
  from: number
  to: number
  serverTime: number
  patch: Json
}

export interface PresenceDiff {
  conferenceId: string
  from: number
  rosterVersion: number
  version: number
  online: number
  /** Left out, with `left`, in a room that is too large to be told of each. */
  changed?: User[]
  left?: string[]
}

export interface PushMessage {
  unread: Unread
  items: InboxItem[]
  more: boolean
}

/** The answer of `roster`. */
export interface RosterPage {
  rosterVersion: number
  version: number
  online: number
  expected: number
  excused: number
  items: User[]
  next: string | null
}

/** The answer of `jywsping`. */
export interface Pong {
  serverTime: number
  version: number
  rosterVersion: number
}

/** Sends an event and returns its answer, without `ok`. Fails with a RollcallError. */
export type Ask = <T>(event: string, ...args: unknown[]) => Promise<T>
