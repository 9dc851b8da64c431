import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ChatMessage, DirectMessage, Going, Json, Meeting, MeetingEvents, Notice } from '../../src/index.js'
import { eventually, online, Rollcall, until, within } from '../rollcall.js'

/** Waits for the next of an event, and returns its first argument. */
function next<T>(meeting: Meeting, event: keyof MeetingEvents): Promise<T> {
  let off = () => {}
  const heard = new Promise<T>((done) => (off = meeting.on(event, (first: unknown) => done(first as T))))
  return within(heard, event).finally(off)
}

/** What the log says became of a notice for a user. */
async function delivery(rollcall: Rollcall, id: string, userId: string): Promise<string> {
  const { items } = await rollcall.api<{ items: { userId: string; state: string }[] }>('GET', `/notices/${id}/deliveries`)
  return items.find((item) => item.userId === userId)?.state ?? 'none'
}

describe('talk', { concurrency: true }, () => {
  test('a notice is announced once and had at once, unless a person must acknowledge it', async (t) => {
    const rollcall = await Rollcall.start(t)
    const anna = rollcall.meeting(t, { userId: 'anna', conferenceId: '42' })
    const announced: Notice[] = []
    anna.on('notice', (notice) => announced.push(notice))
    anna.connect()
    await online(anna)
    const say = (notice: object) => rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, ...notice })

    const plain = await say({ title: 'Lunch', category: 'remind', data: { room: 7 } })
    await until(anna, 'the notice', ({ inbox }) => inbox.items.some((item) => item.id === plain.id))
    assert.deepEqual(anna.snapshot.inbox.unread, { total: 1, byCategory: { remind: 1 } })
    await eventually('the callback', async () => (await delivery(rollcall, plain.id, 'anna')) === 'acked')

    const strict = await say({ title: 'Evacuate', requireAck: true })
    const own = await say({ event: 'vote_started', data: [1, 2], raw: true, title: 'Vote' })
    await until(anna, 'both notices', ({ inbox }) => inbox.items.length === 3)
    assert.deepEqual(announced.map(({ id, event, data }) => ({ id, event, data })), [
      { id: plain.id, event: 'notice', data: { room: 7 } },
      { id: strict.id, event: 'notice', data: null },
      { id: own.id, event: 'vote_started', data: [1, 2] },
    ])
    await eventually('the callback of the later one', async () => (await delivery(rollcall, own.id, 'anna')) === 'acked')
    assert.equal(await delivery(rollcall, strict.id, 'anna'), 'sent')

    const unread = await anna.acknowledge([strict.id])
    assert.equal(unread.total, 3)
    await eventually('the acknowledgement', async () => (await delivery(rollcall, strict.id, 'anna')) === 'acked')
    assert.equal(anna.snapshot.inbox.items.find((item) => item.id === strict.id)?.acknowledged, true)
    assert.equal((await anna.read([plain.id])).total, 2)
    assert.deepEqual(anna.snapshot.inbox.items.map((item) => item.read), [false, false, true])
    assert.equal((await anna.read('all')).total, 0)
    assert.equal(announced.length, 3)
  })

  test('what must be acknowledged and is sent again is announced once', async (t) => {
    const rollcall = await Rollcall.start(t, { notice: { ack_timeout: '100ms' } })
    const anna = rollcall.meeting(t, { userId: 'anna', conferenceId: '42' })
    const announced: string[] = []
    anna.on('notice', ({ id }) => announced.push(id))
    anna.connect()
    await online(anna)
    const first = await rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, title: 'Evacuate', requireAck: true })
    // By the time that this one is due the first was sent twice.
    const marker = await rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, title: 'Still?', sendAt: Date.now() + 1000 })
    await until(anna, 'the second notice', ({ inbox }) => inbox.items.some((item) => item.id === marker.id))
    assert.deepEqual(announced, [first.id, marker.id])
    assert.equal(anna.snapshot.inbox.unread.total, 2)
  })

  test('what was said while nobody was there waits in the inbox, and is announced', async (t) => {
    const rollcall = await Rollcall.start(t)
    const known = rollcall.meeting(t, { userId: 'anna' })
    known.connect()
    await until(known, 'online', ({ connection }) => connection.state === 'online')
    known.close()
    const ids: string[] = []
    for (const title of ['one', 'two']) ids.push((await rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, title })).id)
    const anna = rollcall.meeting(t, { userId: 'anna', conferenceId: '42' })
    const announced: string[] = []
    anna.on('notice', ({ id }) => announced.push(id))
    anna.connect()
    const { inbox } = await until(anna, 'the inbox', ({ inbox }) => inbox.unread.total === 2)
    assert.deepEqual(announced, ids)
    assert.deepEqual(inbox.items.map((item) => item.id), [...ids].reverse())
    const page = await anna.inbox({ limit: 1 })
    assert.deepEqual([page.items.map((item) => item.id), page.unread.total, page.next !== null], [[ids[1]], 2, true])
  })

  test('what another device reads, and what is taken back, is so here too', async (t) => {
    const rollcall = await Rollcall.start(t)
    const [phone, desk] = ['phone', 'desk'].map((deviceId) => rollcall.meeting(t, { userId: 'anna', conferenceId: '42', deviceId })) as [Meeting, Meeting]
    for (const device of [phone, desk]) {
      device.connect()
      await online(device)
    }
    const say = (title: string) => rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, title })
    const [one, two] = [await say('one'), await say('two')]
    await until(desk, 'both', ({ inbox }) => inbox.unread.total === 2)
    await phone.read([one.id])
    const { inbox } = await until(desk, 'one read elsewhere', ({ inbox }) => inbox.items.find((item) => item.id === one.id)?.read)
    assert.equal(inbox.unread.total, 1)
    const recalled = next<string>(desk, 'recalled')
    await rollcall.api('DELETE', `/notices/${two.id}`)
    assert.equal(await recalled, two.id)
    assert.deepEqual([desk.snapshot.inbox.items.map((item) => item.id), desk.snapshot.inbox.unread.total], [[one.id], 0])
  })

  test('people talk, sign in and share', async (t) => {
    const rollcall = await Rollcall.start(t)
    const [anna, ben] = ['anna', 'ben'].map((userId) => rollcall.meeting(t, { userId, userName: userId.toUpperCase(), conferenceId: '42' })) as [Meeting, Meeting]
    for (const person of [anna, ben]) {
      person.connect()
      await online(person)
    }
    const heard = next<ChatMessage>(ben, 'chat')
    const said = await anna.chat({ text: 'hello' })
    const { id, userId, userName, body } = await heard
    assert.deepEqual({ id, userId, userName, body }, { id: said.id, userId: 'anna', userName: 'ANNA', body: { text: 'hello' } })
    assert.deepEqual((await ben.chatHistory({ limit: 1 })).items.map((item) => item.id), [said.id])

    const got = next<DirectMessage>(ben, 'direct')
    const sent = await anna.direct('ben', [1, 2], 'my-1')
    assert.deepEqual({ ...(await got), at: 0 }, { id: sent.id, from: 'anna', fromName: 'ANNA', at: 0, body: [1, 2] })
    assert.equal((await anna.direct('ben', 'again', 'my-1')).id, sent.id)
    assert.deepEqual(ben.snapshot.inbox.items.map(({ id, event, category, read }) => ({ id, event, category, read })), [{ id: sent.id, event: 'direct_message', category: 'mailbox', read: false }])

    await anna.signIn()
    await until(ben, 'the signature', ({ tree }) => (tree?.signInData as { signedNumber?: number } | undefined)?.signedNumber === 1)
    await anna.share('start')
    await until(ben, 'the shared screen', ({ tree }) => (tree?.sameScreen as { userId?: string } | undefined)?.userId === 'anna')
    await assert.rejects(ben.share('start'), { name: 'RollcallError', code: 'conflict' })
    await anna.share('end')
    await anna.tell({ what: 'nobody listens' })

    const other = new Promise<[string, Json[]]>((done) => ben.on('other', (name, args) => done([name, args])))
    await rollcall.api('POST', '/push', { userIds: ['ben'], destination: 'order_changed', message: { order: 7 } })
    assert.deepEqual(await within(other, 'the push'), ['order_changed', [{ order: 7 }]])

    const ended = next<number>(ben, 'conferenceEnded')
    await rollcall.api('PUT', '/conferences/42', { ended: true })
    assert.ok(Math.abs((await ended) - ben.serverNow()) < 5000)
    await assert.rejects(anna.signIn(), { code: 'conference_ended' })
  })

  test('who goes elsewhere has that tree and roster, and comes back there', async (t) => {
    const rollcall = await Rollcall.start(t)
    const [anna, ben] = ['anna', 'ben'].map((userId) => rollcall.meeting(t, { userId, conferenceId: '42' })) as [Meeting, Meeting]
    for (const person of [anna, ben]) {
      person.connect()
      await online(person)
    }
    const left = next<Going>(ben, 'left')
    await anna.join('43')
    assert.equal((await left).reason, 'left')
    const there = await until(anna, 'the other tree', ({ tree, roster }) => tree?.conferenceId === '43' && roster?.conferenceId === '43')
    assert.deepEqual([there.self?.conferenceId, there.roster?.online], ['43', 1])
    const { items } = await rollcall.api<{ items: { conferences: { conferenceId: string }[] }[] }>('POST', '/presence/query', { users: ['anna'] })
    assert.match(JSON.stringify(items), /"43"/)
    await rollcall.kill()
    await until(anna, 'the loss', ({ connection }) => connection.state === 'reconnecting')
    await rollcall.again()
    const back = await until(anna, 'the return', ({ connection, self }) => connection.state === 'online' && self?.sessionId !== there.self?.sessionId)
    assert.equal(back.self?.conferenceId, '43')
    await anna.leave()
    assert.deepEqual([anna.snapshot.self?.conferenceId, anna.snapshot.tree, anna.snapshot.roster], ['', null, null])
    await assert.rejects(anna.resync(), { code: 'no_conference' })
    await anna.join('42')
    await online(anna)
    assert.equal((await anna.resync()).conferenceId, '42')
    assert.equal((await anna.roster({ limit: 1 })).items.length, 1)
  })
})
