import { expect, test } from 'vitest'
import { fromInput, length, timeOf, toInput } from './time'

test('an id tells its time', () => {
  expect(timeOf('01M7YVW1S4AHPCGFTD5SQ11JNG')).toBe(1795258451748)
})

test('a moment goes through an input and back', () => {
  expect(fromInput(toInput('1795258451000'))).toBe('1795258451000')
  expect([toInput(''), toInput(undefined), toInput('soon'), fromInput(''), fromInput('soon')]).toEqual(['', '', '', '', ''])
})

test('lengths of time are read at a glance', () => {
  expect([0, 999, 61_000, 3_723_000, -5].map(length)).toEqual(['0:00', '0:01', '1:01', '1:02:03', '0:00'])
})
