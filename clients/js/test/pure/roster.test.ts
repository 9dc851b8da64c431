import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diffRoster, readRoster, takeRoster } from '../../src/roster.js'
import type { Roster, User } from '../../src/types.js'
import type { PresenceDiff, RosterPage } from '../../src/wire.js'

function user(userId: string, since = 1, state: User['state'] = 'online'): User {
  return { userId, userName: '', role: '', attrs: {}, state, since, devices: [] }
}

function roster(...users: User[]): Roster {
  return { conferenceId: '42', rosterVersion: 5, version: 7, online: users.length, expected: 1, excused: 0, users, more: false }
}

function diff(change: Partial<PresenceDiff>): PresenceDiff {
  return { conferenceId: '42', from: 5, rosterVersion: 6, version: 8, online: 2, changed: [], left: [], ...change }
}

const names = (users: User[]) => users.map((user) => `${user.userId}:${user.state}`).join(' ')

test('diffs keep the order: who is there stays in his place, newcomers follow as they came', () => {
  const member = user('zoe', 0, 'absent')
  const old = roster(member, user('ben'), user('anna'))
  const cases: [string, Partial<PresenceDiff>, string][] = [
    ['a member comes', { changed: [user('zoe', 9)] }, 'zoe:online ben:online anna:online'],
    ['a guest goes', { left: ['ben'] }, 'zoe:absent anna:online'],
    ['a guest is lost', { changed: [user('ben', 9, 'reconnecting')] }, 'zoe:absent ben:reconnecting anna:online'],
    ['guests come', { changed: [user('carl', 10), user('dan', 9), user('eve', 9)] }, 'zoe:absent ben:online anna:online dan:online eve:online carl:online'],
    ['all at once', { changed: [user('carl', 10), user('zoe', 8)], left: ['anna'] }, 'zoe:online ben:online carl:online'],
  ]
  for (const [what, change, want] of cases) {
    const known = diffRoster({ roster: old, stale: false }, diff(change))
    assert.equal(known && names(known.roster.users), want, what)
    assert.deepEqual([known?.roster.rosterVersion, known?.roster.version, known?.roster.online, known?.roster.expected], [6, 8, 2, 1], what)
  }
})

test('who has not changed stays the same object', () => {
  const [anna, ben] = [user('anna'), user('ben')]
  const old = roster(anna, ben)
  const known = diffRoster({ roster: old, stale: false }, diff({ changed: [user('ben'), user('carl')] }))
  assert.equal(known?.roster.users[0], anna)
  assert.equal(known?.roster.users[1], ben, 'said again, and equal')
  assert.equal(diffRoster({ roster: old, stale: false }, diff({ changed: [user('anna')] }))?.roster.users, old.users)
  const taken = takeRoster(old, roster(user('dan'), user('ben'), user('anna')))
  assert.deepEqual(names(taken.users), 'dan:online ben:online anna:online')
  assert.equal(taken.users[1], ben)
  assert.equal(taken.users[2], anna)
  assert.equal(takeRoster(old, structuredClone(old)), old)
})

test('a diff that does not follow is not applied', () => {
  const old = roster(user('anna'))
  assert.equal(diffRoster({ roster: old, stale: false }, diff({ from: 4 })), null)
  assert.equal(diffRoster({ roster: old, stale: false }, diff({ from: 6, rosterVersion: 7 })), null)
})

test('a large room has numbers only, and is read when it is told of each again', () => {
  const known = diffRoster({ roster: roster(user('anna')), stale: false }, { conferenceId: '42', from: 17, rosterVersion: 18, version: 30, online: 500 })
  assert.deepEqual(known && { ...known.roster, users: known.roster.users.length }, { conferenceId: '42', rosterVersion: 18, version: 30, online: 500, expected: 1, excused: 0, users: 1, more: true })
  assert.ok(known)
  assert.equal(diffRoster(known, diff({ from: 18, rosterVersion: 19 })), null, 'the users are old')
})

test('of a list that is cut newcomers are not shown', () => {
  const known = diffRoster({ roster: { ...roster(user('anna')), more: true }, stale: false }, diff({ changed: [user('anna', 2, 'reconnecting'), user('ben')] }))
  assert.equal(known && names(known.roster.users), 'anna:reconnecting')
})

function page(users: User[], next: string | null, rosterVersion = 9): RosterPage {
  return { rosterVersion, version: 11, online: 3, expected: 2, excused: 1, items: users, next }
}

test('a roster is read by pages of one version', async () => {
  const pages = [page([user('anna')], 'a', 8), page([user('ben')], null, 9), page([user('anna')], 'b'), page([user('ben')], 'c'), page([user('carl')], null)]
  const asked: string[] = []
  const known = await readRoster('42', 0, (cursor) => {
    asked.push(cursor)
    return Promise.resolve(pages.shift() as RosterPage)
  })
  assert.deepEqual(asked, ['', 'a', '', 'b', 'c'])
  assert.deepEqual(known, { stale: false, roster: { conferenceId: '42', rosterVersion: 9, version: 11, online: 3, expected: 2, excused: 1, users: [user('anna'), user('ben'), user('carl')], more: false } })
})

test('a reading ends with enough users, and with people who come and go too fast', async () => {
  const many = Array.from({ length: 200 }, (_, i) => user(`u${i}`))
  const known = await readRoster('42', 0, () => Promise.resolve(page(many, 'more')))
  assert.deepEqual([known.roster.users.length, known.roster.more], [200, true])
  const wide = await readRoster('42', 350, () => Promise.resolve(page(many, 'more')))
  assert.equal(wide.roster.users.length, 400)
  let version = 0
  await assert.rejects(readRoster('42', 350, () => Promise.resolve(page(many, 'more', version++))), { code: 'conflict' })
})
