import { expect, test } from 'vitest'
import { conferenceTitle, sharer, signedIn, signInKeys } from './conference'
import { lead, shown, wordFor, words } from './content'
import { initials } from './person'

test.each([
  ['x', null, { kind: 'nothing' }],
  ['x', {}, { kind: 'nothing' }],
  ['x', 0, { kind: 'text', text: '0' }],
  ['x', false, { kind: 'yes-no', yes: false }],
  ['percent', 60, { kind: 'percent', percent: 60 }],
  ['signRate', 0.25, { kind: 'percent', percent: 25 }],
  ['percent', 160, { kind: 'text', text: '160' }],
  ['x', '85.5%', { kind: 'percent', percent: 85.5 }],
  ['startTime', 1795248263540, { kind: 'moment', at: 1795248263540 }],
  ['total', 1795248263540, { kind: 'text', text: '1795248263540' }],
  ['x', 'https://example.org/a?b=c', { kind: 'link', href: 'https://example.org/a?b=c' }],
  ['url', 'rtmp://example.org/live', { kind: 'text', text: 'rtmp://example.org/live' }],
  ['x', 'see https://example.org', { kind: 'text', text: 'see https://example.org' }],
  ['x', [1], { kind: 'list', items: [1] }],
] as const)('%s: %j', (name, value, as) => expect(shown(name, value as never)).toEqual(as))

test.each(['javascript:alert(1)', ' JavaScript:alert(1)', 'data:text/html,x', 'https:', 'https://a b', '//example.org', 'http://['])('%j is no link', (text) => {
  expect(shown('x', text).kind).toBe('text')
})

test('a script in the place of an address is not shown', () => expect(shown('url', 'javascript:alert(1)').kind).toBe('nothing'))

test('short fields stand before long ones, else in their order', () => {
  expect(shown('x', { a: [1], b: 1, c: { d: 1 }, e: 'f' })).toEqual({ kind: 'fields', fields: [['b', 1], ['e', 'f'], ['a', [1]], ['c', { d: 1 }]] })
})

test('title and text are taken out of a section, and what others show is left out', () => {
  expect(lead({ name: 'Budget', content: 'Read it', isShare: '1', total: 5 }, ['isShare'])).toEqual({ title: 'Budget', text: 'Read it', rest: { total: 5 } })
  expect(lead('plain')).toEqual({ title: '', text: '', rest: { '': 'plain' } })
  expect(lead({ title: { a: 1 } })).toEqual({ title: '', text: '', rest: { title: { a: 1 } } })
})

test('names of fields are words', () => expect(['signedNumber', 'signed_number', 'URL', '议题'].map(words)).toEqual(['Signed number', 'Signed number', 'URL', '议题']))

test('there is a word for what we know, and none for what every object has', () => {
  expect(['web', 'constructor', '__proto__', 'toString'].map((name) => wordFor({ web: 'Browser' }, name))).toEqual(['Browser', undefined, undefined, undefined])
})

test('a conference is called by its title, that of its topic, or its id', () => {
  const tree = { conferenceId: '42', version: 1, serverTime: 0, headData: { onLineNumber: 1 } }
  expect(conferenceTitle(null, '42')).toBe('42')
  expect(conferenceTitle({ ...tree, topicInfo: { title: 'Budget' } }, '42')).toBe('Budget')
  expect(conferenceTitle({ ...tree, topicInfo: { title: 'Budget' }, conferenceInfo: { name: 'Board' } }, '42')).toBe('Board')
})

test('somebody shares when the section says so and who', () => {
  expect(['1', 1, true, '0', 0, null, 'yes'].map((isShare) => sharer({ isShare, userId: 7 }) !== null)).toEqual([true, true, true, false, false, false, false])
  expect(sharer({ isShare: '1', userId: '' })).toBeNull()
})

test('who has signed in is read past what else is in the list', () => {
  expect(signedIn({ signed: [1, null, { userId: 7, at: 5, seat: 'A1' }, { userId: 'anna', userName: 'Anna', at: 6 }] })).toEqual([
    { userId: '7', userName: '', at: 5 },
    { userId: 'anna', userName: 'Anna', at: 6 },
  ])
  expect(signedIn({ signed: [{ userId: 'a', at: 1e300 }] })).toEqual([{ userId: 'a', userName: '', at: 0 }])
  expect(signedIn({ signed: 3 })).toEqual([])
})

test('a list that holds more than that is shown as it is, too', () => {
  expect(signInKeys({ signed: [{ userId: 'anna' }], total: 1 })).toContain('signed')
  expect(signInKeys({ signed: [{ userId: 'anna' }, 'ben'], total: 2 })).not.toContain('signed')
  expect(signInKeys({ signed: 3 })).toEqual([])
  expect(signInKeys({})).toContain('signed')
})

test.each([['Anna Fischer', 'AF'], ['anna', 'A'], ['王建国', '建国'], ['u-7', 'U7'], ['🙂', '?'], ['', '?']])('the initials of %j are %j', (name, letters) => {
  expect(initials(name)).toBe(letters)
})
