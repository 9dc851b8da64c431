import { expect, test } from 'vitest'
import { clockText, readTimer, remaining } from './timer'

test.each([
  [0, '00:00'],
  [1, '00:01'], // a begun second counts: 00:00 means that it is over
  [59_000, '00:59'],
  [59_001, '01:00'],
  [600_000, '10:00'],
  [3_600_000, '1:00:00'],
  [604_800_000, '168:00:00'],
])('%d ms are shown as %s', (ms, text) => expect(clockText(ms)).toBe(text))

test('what is left is counted by the clock of the server while it runs, and said by it else', () => {
  expect(remaining({ state: 'running', endsAt: 5000, durationMs: 9000 }, 2000)).toBe(3000)
  expect(remaining({ state: 'running', endsAt: 5000 }, 6000)).toBe(0)
  expect(remaining({ state: 'paused', remainingMs: 700, durationMs: 9000 }, 2000)).toBe(700)
  expect(remaining({ state: 'idle', durationMs: 9000 }, 2000)).toBe(9000)
  expect(remaining({ state: 'finished', durationMs: 9000 }, 2000)).toBe(0)
})

test('a section of another kind is no timer', () => {
  expect(readTimer(undefined)).toBeNull()
  expect(readTimer('ten minutes')).toBeNull()
  expect(readTimer([1])).toBeNull()
  expect(readTimer({ state: 'ticking', endsAt: 5 })).toBeNull()
  expect(readTimer({ state: 'running', endsAt: 'soon' })).toBeNull()
  expect(readTimer({ state: 'paused', remainingMs: 5, speaker: 'anna' })).toMatchObject({ state: 'paused', remainingMs: 5 })
})
