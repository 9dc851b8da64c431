import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json, Meeting, Roster, Tree, User } from '../../src/index.js'
import { LossyProxy } from '../lossy.js'
import { generator, seed } from '../random.js'
import { online, Rollcall, until } from '../rollcall.js'

/**
 * What REST says of a conference, but for addresses and nodes, which are not for clients; for the version of the tree in the roster, which is that of the time when
 * the roster was sent; and for since when a member is absent, which pushes say as of then.
 */
async function truth(rollcall: Rollcall, conference: string): Promise<{ tree: Tree; roster: Roster }> {
  const tree = await rollcall.api<Tree>('GET', `/conferences/${conference}/tree`)
  const roster = await rollcall.api<Roster & { users: (User & { devices: { ip?: string; node?: string }[] })[] }>('GET', `/conferences/${conference}/presence`)
  for (const user of roster.users) for (const device of user.devices) (delete device.ip, delete device.node)
  return { tree: { ...tree, serverTime: 0 }, roster: comparable(roster) }
}

function comparable(roster: Roster): Roster {
  return { ...roster, version: 0, users: roster.users.map((user) => (user.state === 'absent' ? { ...user, since: 0 } : user)) }
}

/** Waits until a client knows what REST says. */
async function learns(meeting: Meeting, who: string, told: { tree: Tree; roster: Roster }): Promise<void> {
  let difference: unknown
  await until(meeting, who, ({ tree, roster }) => {
    try {
      assert.deepEqual({ tree: { ...tree, serverTime: 0 }, roster: roster && comparable(roster) }, told)
      return true
    } catch (error) {
      difference = error
      return false
    }
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${String(difference)}`)
  })
}

describe('loss', { concurrency: true }, () => {
  test('with a third of all events lost, trees and rosters arrive at what REST says', async (t) => {
    const random = generator(seed)
    const rollcall = await Rollcall.start(t, { presence: { grace: '300ms' } })
    await rollcall.api('PUT', '/conferences/42/members', { members: [{ userId: 'cleo', role: 'host' }, { userId: 'dan', excused: true }, { userId: 'p3' }] })
    const proxies = await Promise.all([1, 2, 3].map(() => LossyProxy.start(t, rollcall.base, random)))
    const watchers = proxies.map((proxy, i) => rollcall.meeting(t, { url: proxy.base, userId: `watcher${i}`, conferenceId: '42', patches: i > 0 }))
    for (const proxy of proxies) proxy.loss = 0.3
    const versions = watchers.map((watcher) => {
      const seen: [tree: number, roster: number][] = []
      watcher.on('change', ({ tree, roster }) => seen.push([tree?.version ?? -1, roster?.rosterVersion ?? -1]))
      watcher.connect()
      return seen
    })
    await Promise.all(watchers.map((watcher) => until(watcher, 'a tree and a roster', ({ tree, roster }) => tree && roster)))

    const pick = (n: number) => Math.floor(random() * n)
    const sections = ['conferenceInfo', 'topicInfo', 'countersignData']
    for (let i = 0; i < 60; i++) {
      const change: Json = pick(6) === 0 ? null : { title: pick(3), ['k' + pick(4)]: pick(3) === 0 ? null : { list: [pick(5), null, { x: pick(2) }] } }
      await rollcall.api('PATCH', '/conferences/42/tree', { [sections[pick(3)] ?? '']: change })
      if (i % 4 > 0) continue
      const guest = rollcall.meeting(t, { userId: `p${i / 4}`, conferenceId: '42' })
      guest.connect()
      await online(guest)
      if (pick(2) === 0) guest.close()
    }
    const end = await truth(rollcall, '42')
    assert.ok(end.roster.users.some((user) => user.userId === 'p3'))
    for (const [i, watcher] of watchers.entries()) {
      await learns(watcher, `watcher ${i} of seed ${seed} to know what REST says`, end)
      for (const n of [0, 1] as const) {
        const seen = versions[i]?.map((pair) => pair[n]) ?? []
        assert.deepEqual(seen, [...seen].sort((a, b) => a - b), `watcher ${i} went back in version`)
      }
    }
    const sum = (what: (proxy: LossyProxy) => number) => proxies.reduce((n, proxy) => n + what(proxy), 0)
    const [lost, passed] = [sum((proxy) => proxy.lost), sum((proxy) => proxy.passed)]
    assert.ok(lost > 50 && passed > lost, `${lost} events were lost, ${passed} passed`)
    assert.ok(sum((proxy) => proxy.asked.get('tree_resync') ?? 0) > 0 && sum((proxy) => proxy.asked.get('roster') ?? 0) > 0, 'nothing had to be healed')
    t.diagnostic(`seed ${seed}: ${lost} of ${lost + passed} events lost`)
  })

  test('the loss of the last frames, with nothing after them, is noticed', async (t) => {
    const rollcall = await Rollcall.start(t)
    const proxy = await LossyProxy.start(t, rollcall.base)
    const anna = rollcall.meeting(t, { url: proxy.base, userId: 'anna', conferenceId: '42' })
    anna.connect()
    await online(anna)
    proxy.loss = 1
    await rollcall.api('PATCH', '/conferences/42/tree', { topicInfo: { title: 'Budget' } })
    const ben = rollcall.meeting(t, { userId: 'ben', conferenceId: '42' })
    ben.connect()
    await online(ben)
    const end = await truth(rollcall, '42')
    await learns(anna, 'what was lost', end)
    assert.ok(proxy.lost >= 3, 'tree, roster and notice')
    assert.equal(anna.snapshot.connection.state, 'online')
  })

  test('a connection whose first frames were lost has its tree and roster all the same', async (t) => {
    const rollcall = await Rollcall.start(t)
    const proxy = await LossyProxy.start(t, rollcall.base)
    proxy.loss = 1
    const anna = rollcall.meeting(t, { url: proxy.base, userId: 'anna', conferenceId: '42' })
    anna.connect()
    const { tree, roster } = await until(anna, 'tree and roster', ({ tree, roster }) => tree && roster)
    assert.deepEqual([tree?.headData.onLineNumber, roster?.online, roster?.users[0]?.userId], [1, 1, 'anna'])
  })

  test('a room above presence.detail_max has its numbers, and its people again when it shrinks', async (t) => {
    const rollcall = await Rollcall.start(t, { presence: { detail_max: 3 } })
    const people = ['anna', 'ben', 'carl', 'dan', 'eve'].map((userId) => rollcall.meeting(t, { userId, conferenceId: '42' }))
    const [anna, ben, carl] = people as [typeof people[0], typeof people[0], typeof people[0]]
    for (const person of people) {
      person.connect()
      await online(person)
    }
    const large = await until(anna, 'five people', ({ roster }) => roster?.online === 5)
    assert.equal(large.roster?.more, true)
    assert.equal(large.tree?.headData.onLineNumber, 5)
    ben.close()
    await until(anna, 'four people', ({ roster }) => roster?.online === 4)
    carl.close()
    const { roster } = await until(anna, 'three people', ({ roster }) => roster?.online === 3 && !roster.more)
    assert.deepEqual(roster?.users.map((user) => user.userId), ['anna', 'dan', 'eve'])
  })
})
