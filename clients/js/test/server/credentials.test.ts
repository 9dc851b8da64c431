import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import type { ConnectionState, Meeting } from '../../src/index.js'
import { online, Rollcall, secret, token, unlessEnded, until } from '../rollcall.js'

const locked = { auth: { mode: 'jwt', hs256_secret: secret } }

/** Notes each state that a connection goes through. */
function states(meeting: Meeting): ConnectionState[] {
  const seen: ConnectionState[] = []
  meeting.on('change', ({ connection: { state } }) => void (state !== seen.at(-1) && seen.push(state)))
  return seen
}

describe('credentials', { concurrency: true }, () => {
  test('a token is renewed before it expires, and the connection stays', async (t) => {
    const rollcall = await Rollcall.start(t, locked)
    let asked = 0
    let renewed = () => {}
    const thrice = new Promise<void>((done) => (renewed = done))
    const anna = rollcall.meeting(t, {
      conferenceId: '42',
      token: () => {
        if (++asked === 4) renewed()
        return token('anna', 3000)
      },
    })
    const seen = states(anna)
    anna.connect()
    const before = await online(anna)
    await unlessEnded(anna, thrice, 'the third renewal') // 6 s: by then the first two tokens have expired
    const { id } = await anna.chat('still here')
    assert.ok(id)
    assert.deepEqual(seen, ['connecting', 'online'])
    assert.equal(anna.snapshot.self?.sessionId, before.self?.sessionId)
  })

  test('a token that only the server can read is renewed when the server says', async (t) => {
    const introspection = createServer(async (request, response) => {
      let body = ''
      for await (const part of request.setEncoding('utf8')) body += part as string
      const expires = Number(new URLSearchParams(body).get('token')?.split('-')[1])
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ active: expires > Date.now(), sub: 'anna', exp: expires / 1000, conferences: '*' }))
    })
    await new Promise<void>((done) => introspection.listen(0, '127.0.0.1', done))
    t.after(() => introspection.close())
    const rollcall = await Rollcall.start(t, { auth: { mode: 'jwt', introspect_url: `http://127.0.0.1:${(introspection.address() as AddressInfo).port}/` } })
    const asked: number[] = []
    let renewed = () => {}
    const twice = new Promise<void>((done) => (renewed = done))
    const anna = rollcall.meeting(t, {
      conferenceId: '42',
      token: () => {
        if (asked.push(Date.now()) === 3) renewed()
        return Promise.resolve(`opaque-${Date.now() + 3000}`)
      },
    })
    const seen = states(anna)
    anna.connect()
    await online(anna)
    await unlessEnded(anna, twice, 'the second renewal')
    await anna.chat('still here')
    assert.deepEqual(seen, ['connecting', 'online'])
    const [first = 0, second = 0] = asked
    assert.ok(second - first > 1200, `a token of 3 s was renewed after ${second - first} ms`)
  })

  test('a token that is never renewed ends the connection for good', async (t) => {
    const rollcall = await Rollcall.start(t, locked)
    const anna = rollcall.meeting(t, { conferenceId: '42', token: token('anna', 1500) })
    const seen = states(anna)
    anna.connect()
    const { connection } = await until(anna, 'the end', ({ connection }) => connection.state === 'ended')
    assert.equal(connection.problem?.code, 'token_expired')
    assert.deepEqual(seen, ['connecting', 'online', 'ended'])
    await assert.rejects(anna.chat('anybody?'), { name: 'RollcallError', code: 'offline' })
  })

  test('who is refused for good stays out until he tries again, with a token asked anew', async (t) => {
    const rollcall = await Rollcall.start(t, locked)
    const tokens = [token('anna', -1000), token('anna', 60_000, {}), token('anna', 60_000)]
    const anna = rollcall.meeting(t, { conferenceId: '42', token: () => tokens.shift() ?? '' })
    const seen = states(anna)
    anna.connect()
    const first = await until(anna, 'a refusal', ({ connection }) => connection.state === 'refused')
    assert.equal(first.connection.problem?.code, 'unauthorized')
    assert.match(first.connection.problem?.detail ?? '', /expired/)
    assert.equal(first.connection.retryAt, undefined)
    anna.connect()
    const second = await until(anna, 'another refusal', ({ connection }) => connection.problem?.code === 'forbidden')
    assert.equal(second.connection.state, 'refused')
    anna.connect()
    const { connection } = await online(anna)
    assert.equal(connection.problem, undefined)
    assert.deepEqual(seen, ['connecting', 'refused', 'connecting', 'refused', 'connecting', 'online'])
  })

  test('who cannot be checked now, or has no token now, comes back by himself', async (t) => {
    let status = 503
    const introspection = createServer((_, response) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ active: true, sub: 'anna', exp: Date.now() / 1000 + 60, conferences: '*' }))
    })
    await new Promise<void>((done) => introspection.listen(0, '127.0.0.1', done))
    t.after(() => introspection.close())
    const rollcall = await Rollcall.start(t, { auth: { mode: 'jwt', introspect_url: `http://127.0.0.1:${(introspection.address() as AddressInfo).port}/` } })
    let asked = 0
    const anna = rollcall.meeting(t, {
      conferenceId: '42',
      maxRetryDelay: 1000,
      token: () => {
        if (++asked === 1) throw new Error('the backend is away')
        return `opaque-${asked}`
      },
    })
    const seen = states(anna)
    anna.connect()
    const { connection } = await until(anna, 'a pause', ({ connection }) => connection.retryAt !== undefined)
    const pause = (connection.retryAt ?? 0) - Date.now()
    assert.ok(connection.state === 'connecting' && pause <= 100, `state ${connection.state}, ${pause} ms`)
    await until(anna, 'pauses to grow', ({ connection }) => (connection.retryAt ?? 0) - Date.now() > 250)
    status = 200
    await online(anna)
    assert.ok(asked >= 3)
    assert.deepEqual(seen, ['connecting', 'online'])
  })
})
