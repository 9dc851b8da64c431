import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelay } from '../../src/connection.js'
import { Emitter } from '../../src/emitter.js'
import { tokenExpiry } from '../../src/reauth.js'

test('pauses double from a tenth of the longest, half of each random', () => {
  for (const [failures, delay] of [[0, 500], [1, 1000], [2, 2000], [3, 4000], [4, 5000], [5, 5000], [5000, 5000]] as const) {
    assert.equal(retryDelay(failures, 5000, () => 0), delay / 2)
    assert.equal(retryDelay(failures, 5000, () => 1), delay)
  }
})

test('the expiry of a token is read, if it is a JWT that has one', () => {
  const token = (payload: string) => `e30.${Buffer.from(payload).toString('base64url')}.sig`
  for (const [text, want] of [
    [token('{"exp":1795258451}'), 1795258451000],
    [token('{"exp":1795258451,"name":"Zoë??>>"}'), 1795258451000],
    [token('{"exp":"soon"}'), null],
    [token('{}'), null],
    [token('null'), null],
    [token('{'), null],
    ['opaque', null],
    ['a.b.c', null],
    ['', null],
  ] as const) {
    assert.equal(tokenExpiry(text), want, text)
  }
})

test('a listener that throws keeps nobody else from hearing, and the error is not lost', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const heard: string[] = []
  const emitter = new Emitter<{ word: (word: string) => void }>()
  emitter.on('word', () => {
    throw new Error('mine')
  })
  const listener = (word: string) => void heard.push(word)
  const off = emitter.on('word', listener)
  emitter.on('word', listener)
  emitter.emit('word', 'a')
  off()
  emitter.emit('word', 'b')
  assert.deepEqual(heard, ['a', 'a', 'b'])
  assert.throws(() => t.mock.timers.tick(1), /mine/)
})
