import { expect, test } from 'vitest'
import { Exact, parse, stringify } from './exact'

test('every number comes out as it went in', () => {
  for (const text of [
    '9007199254740993123', '[1,2.50,-0,1e3,1E+20,0.1]', '{"a":{"b":[12345678901234567890,"12345678901234567890"]},"c":"\\u0041 1.10 \\" 9007199254740993123"}', '{"ip":"10.0.0.1","n":0}', '"plain"', 'true',
  ]) expect(stringify(parse(text), 0)).toBe(text.replace('\\u0041', 'A'))
})

test('numbers that a double holds stay numbers', () => {
  const { at, id } = parse('{"at":1795258451355,"id":9007199254740993123}') as { at: unknown; id: unknown }
  expect(at).toBe(1795258451355)
  expect(id).toBeInstanceOf(Exact)
  expect(String(id)).toBe('9007199254740993123')
})

test('what is no JSON is refused as JSON.parse does', () => {
  for (const text of ['', '{', '[01]', '[1.]', '{"a":9007199254740993123,}', '[0123456789012345678]', "{'a':1}"]) expect(() => parse(text), text).toThrow(SyntaxError)
})
