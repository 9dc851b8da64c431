import { expect, test } from 'vitest'
import { fold, type Line } from './talk'

const who = (userId: string) => ({ conferenceId: '42', userId, userName: '', at: 0 })
const came = (id: string, at: number): Line => ({ kind: 'came', key: `came ${id}`, at, who: [who(id)] })
const went = (id: string, at: number, reason: 'left' | 'lost'): Line => ({ kind: 'went', key: `went ${id}`, at, who: [who(id)], reason })
const said = (id: string, at: number): Line => ({ kind: 'said', key: id, at, message: { id, userId: 'a', userName: '', at, body: 'x' } })

test('who comes one after another stands in one line, with the time of the last', () => {
  const lines = fold([came('a', 1), came('b', 2), said('m', 3), came('c', 4), went('d', 5, 'left'), went('e', 6, 'left'), went('f', 7, 'lost')])
  expect(lines.map((line) => [line.key, line.at, line.kind === 'said' ? 1 : line.who.length])).toEqual([
    ['came a', 2, 2],
    ['m', 3, 1],
    ['came c', 4, 1],
    ['went d', 6, 2],
    ['went f', 7, 1],
  ])
})
