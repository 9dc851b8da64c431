import { beforeEach, expect, test, vi } from 'vitest'
import { idFrom, namesConference, userIdFor } from './identity'

const kept = new Map<string, string>()
vi.stubGlobal('localStorage', { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) })
beforeEach(() => kept.clear())

/** The rule of docs/protocol.md, Ids. */
const rule = /^[\p{L}\p{Nd}._:@-]{1,64}$/u

test.each([
  ['Anna Fischer', 'Anna-Fischer'],
  ['  王 建国 ', '王-建国'],
  ['a/b?c=d&e', 'a-b-c-d-e'],
  ['Zoe\u0308', 'Zo\u00eb'], // two characters that are one in NFC
  ['a.b_c:d@e-f', 'a.b_c:d@e-f'],
  ['🙂🙂', ''],
])('the id of %j is %j', (text, id) => expect(idFrom(text)).toBe(id))

test('an id is cut between characters, not within one', () => {
  const id = idFrom('𠮷'.repeat(80)) // each is two units of UTF-16
  expect([...id]).toHaveLength(64)
  expect(id).toMatch(rule)
})

test.each(['Anna', '王建国', '🙂', '', 'undefined', 'x'.repeat(200), 'a  b'])('whoever is called %j has an id that the server takes', (name) => {
  expect(userIdFor(name)).toMatch(rule)
})

test('the same browser has the same id for a name, another browser another', () => {
  const first = userIdFor('Anna')
  expect(userIdFor('Anna')).toBe(first)
  expect(userIdFor('Ben')).not.toBe(first)
  kept.clear()
  expect(userIdFor('Anna')).not.toBe(first)
})

test('what the server reads as no conference is none', () => {
  expect(['', '0', 'undefined', 'null', '42', 'demo'].filter(namesConference)).toEqual(['42', 'demo'])
})
