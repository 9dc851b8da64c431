import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createMeeting, type ConnectionState, type Meeting } from '../../src/index.js'
import { LossyProxy, pollingOnly } from '../lossy.js'
import { online, Rollcall, until, within } from '../rollcall.js'

function states(meeting: Meeting): ConnectionState[] {
  const seen: ConnectionState[] = []
  meeting.on('change', ({ connection: { state } }) => void (state !== seen.at(-1) && seen.push(state)))
  return seen
}

describe('ends', { concurrency: true }, () => {
  test('who is kicked is out for good, and says why', async (t) => {
    const rollcall = await Rollcall.start(t)
    const anna = rollcall.meeting(t, { userId: 'anna', conferenceId: '42' })
    const seen = states(anna)
    anna.connect()
    await online(anna)
    await rollcall.api('POST', '/users/anna/kick', { reason: 'loud' })
    const { connection } = await until(anna, 'the end', ({ connection }) => connection.state === 'ended')
    assert.equal(connection.problem?.code, 'loud')
    assert.equal(connection.retryAt, undefined)
    anna.connect()
    await online(anna)
    await rollcall.api('DELETE', '/conferences/42')
    const { connection: again } = await until(anna, 'another end', ({ connection }) => connection.state === 'ended')
    assert.equal(again.problem?.code, 'conference_deleted')
    assert.deepEqual(seen, ['connecting', 'online', 'ended', 'connecting', 'online', 'ended'])
  })

  for (const [what, end] of [
    ['stops', () => {}],
    ['breaks down before that', (server: Rollcall) => void server.kill()],
  ] as const) {
    test(`a server that says when to come back and ${what} is left then, not before, and another found`, async (t) => {
      const [first, second] = await Promise.all([Rollcall.start(t, { shutdown: { drain: '3s' } }), Rollcall.start(t)])
      const proxy = await LossyProxy.start(t, first.base)
      const people = ['anna', 'ben', 'carl', 'dan', 'eve', 'fay'].map((userId) => ({ userId, meeting: rollcall(t, proxy.base, userId) }))
      for (const { meeting } of people) meeting.connect()
      const nodeId = (await Promise.all(people.map(({ meeting }) => online(meeting))))[0]?.self?.nodeId
      const warned = people.map(({ meeting }) => until(meeting, 'the warning', ({ connection }) => connection.state === 'draining'))
      first.stop()
      proxy.target = second.base
      const times = (await Promise.all(warned)).map(({ connection }) => connection.retryAt ?? 0)
      end(first)
      assert.ok(Math.max(...times) - Date.now() > 1000, 'the server spreads them')
      for (const [i, { userId, meeting }] of people.entries()) {
        const back = await until(meeting, 'another server', ({ connection, self }) => connection.state === 'online' && self?.nodeId !== nodeId)
        const [, ...again] = proxy.tries.filter((attempt) => attempt.userId === userId)
        assert.equal(again.length, 1, `${userId} tried ${again.length} times`)
        const late = (again[0]?.at ?? 0) - (times[i] ?? 0)
        assert.ok(late >= -5 && late < 1000, `${userId} came back ${late} ms after he should`)
        assert.equal(back.connection.retryAt, undefined)
      }
    })
  }

  test('a line that breaks is reconnecting, comes back, and goes on with what it knew', async (t) => {
    const server = await Rollcall.start(t)
    const proxy = await LossyProxy.start(t, server.base)
    const anna = rollcall(t, proxy.base, 'anna')
    const seen = states(anna)
    anna.connect()
    await server.api('PATCH', '/conferences/42/tree', { topicInfo: { title: 'Budget' } })
    await until(anna, 'the topic', ({ tree }) => tree?.topicInfo)
    proxy.mute = true
    const call = assert.rejects(anna.chatHistory(), { name: 'RollcallError', code: 'offline' })
    proxy.target = ''
    await server.kill()
    await call
    const lost = await until(anna, 'the loss', ({ connection }) => connection.state === 'reconnecting')
    assert.ok((lost.connection.retryAt ?? 0) <= Date.now() + 500)
    assert.deepEqual(lost.tree?.topicInfo, { title: 'Budget' })
    await assert.rejects(anna.chat('hello?'), { code: 'offline' })
    await until(anna, 'longer pauses', ({ connection }) => (connection.retryAt ?? 0) - Date.now() > 1000)
    await server.again()
    proxy.mute = false
    proxy.target = server.base
    const back = await online(anna)
    assert.equal(back.tree?.topicInfo, lost.tree?.topicInfo, 'what has not changed is the same object')
    assert.deepEqual(seen, ['connecting', 'online', 'reconnecting', 'online'])
  })

  test('where WebSockets do not get through, polling does', async (t) => {
    const server = await Rollcall.start(t)
    const anna = rollcall(t, await pollingOnly(t, server.base), 'anna')
    anna.connect()
    await online(anna)
    await server.api('PATCH', '/conferences/42/tree', { topicInfo: { title: 'Budget' } })
    await until(anna, 'the topic', ({ tree }) => tree?.topicInfo)
    assert.ok((await anna.chat('hello')).id)
  })

  test('who closes is gone at once, and for good', async (t) => {
    const server = await Rollcall.start(t)
    const anna = rollcall(t, server.base, 'anna')
    anna.connect()
    await online(anna)
    const ben = rollcall(t, server.base, 'ben')
    const arrived = new Promise((done) => anna.on('arrived', done))
    ben.connect()
    await online(ben)
    assert.equal((await within(arrived, 'ben') as { userId: string }).userId, 'ben')
    const left = new Promise((done) => anna.on('left', done))
    ben.close()
    assert.equal(ben.snapshot.connection.state, 'closed')
    assert.equal((await within(left, 'the end of ben') as { reason: string }).reason, 'left')
    ben.connect()
    assert.equal(ben.snapshot.connection.state, 'closed')
    await until(anna, 'nobody else', ({ roster }) => roster?.users.length === 1)
  })
})

function rollcall(t: Parameters<typeof Rollcall.start>[0], url: string, userId: string): Meeting {
  const meeting = createMeeting({ url, userId, conferenceId: '42' })
  t.after(() => meeting.close())
  return meeting
}
