import { RollcallError } from './errors.js'
import { keep } from './json.js'
import type { Roster, User } from './types.js'
import type { PresenceDiff, RosterPage } from './wire.js'

/** The largest page that a server gives. */
const PAGE = 200
/** How often pages are read again because somebody came or went between two of them. */
const READINGS = 4

/**
 * A roster as far as a client can know it. In a room that is too large to be told of each only the numbers are news: then the users are `stale`, and the next
 * diff that names some has nothing to stand on.
 */
export interface KnownRoster {
  roster: Roster
  stale: boolean
}

/** Takes a whole one: users who are as they were stay the same objects, and so does all if nothing is different. */
export function takeRoster(old: Roster | null, whole: Roster): Roster {
  if (!old) return whole
  const were = new Map(old.users.map((user) => [user.userId, user]))
  const users = keepList(old.users, whole.users.map((user) => keep(were.get(user.userId), user)))
  const { users: _, ...numbers } = whole
  return users === old.users && Object.entries(numbers).every(([key, value]) => old[key as keyof Roster] === value) ? old : { ...whole, users }
}

/**
 * Applies a diff that begins at the version of the roster, or one without names, which can follow any. Null if it does not follow.
 *
 * Who was there keeps his place, newcomers go to the end. Of a list that is cut only the beginning is known, and newcomers belong behind it.
 */
export function diffRoster(old: KnownRoster, diff: PresenceDiff): KnownRoster | null {
  const { rosterVersion, version, online, changed, left } = diff
  const numbers = { rosterVersion, version, online }
  if (!changed || !left) return { roster: { ...old.roster, ...numbers, more: true }, stale: true }
  if (old.stale || diff.from !== old.roster.rosterVersion) return null

  const news = new Map(changed.map((user) => [user.userId, user]))
  const gone = new Set(left)
  const users: User[] = []
  for (const user of old.roster.users) {
    const now = news.get(user.userId)
    news.delete(user.userId)
    if (!gone.has(user.userId)) users.push(now ? keep(user, now) : user)
  }
  if (!old.roster.more) users.push(...[...news.values()].sort(byArrival))
  return { roster: { ...old.roster, ...numbers, users: keepList(old.roster.users, users) }, stale: false }
}

function byArrival(a: User, b: User): number {
  return a.since - b.since || (a.userId < b.userId ? -1 : 1)
}

function keepList(old: User[], users: User[]): User[] {
  return users.length === old.length && users.every((user, i) => user === old[i]) ? old : users
}

/** Reads pages until the list is whole or has enough users, and again when they are not of one version. */
export async function readRoster(conferenceId: string, enough: number, page: (cursor: string) => Promise<RosterPage>): Promise<KnownRoster> {
  for (let reading = 1; reading <= READINGS; reading++) {
    const users: User[] = []
    const first = await page('')
    users.push(...first.items)
    let last = first
    while (last.next !== null && users.length < Math.max(enough, PAGE) && last.rosterVersion === first.rosterVersion) {
      last = await page(last.next)
      users.push(...last.items)
    }
    if (last.rosterVersion !== first.rosterVersion) continue
    const { rosterVersion, version, online, expected, excused } = first
    return { roster: { conferenceId, rosterVersion, version, online, expected, excused, users, more: last.next !== null }, stale: false }
  }
  throw new RollcallError('conflict', 'people come and go faster than the roster can be read')
}
