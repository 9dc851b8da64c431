import { expect, test } from 'vitest'
import { differences, place } from './diff'
import { parse } from './exact'

const found = (before: string, after: string) => differences(parse(before), parse(after)).map((d) => `${place(d.path)} ${d.kind}`)

test('what is the same has no differences', () => {
  for (const text of ['{}', '[]', 'null', '{"a":[1,{"b":null}],"c":9007199254740993123}', '"x"']) expect(found(text, text)).toEqual([])
  expect(found('{"a":1,"b":2}', '{"b":2,"a":1}')).toEqual([])
})

test('differences are found where they are', () => {
  expect(found('{"a":1,"b":{"c":[1,2,3]},"d":0}', '{"b":{"c":[1,5]},"d":0,"e":{}}')).toEqual(['a removed', 'b.c[1] changed', 'b.c[2] removed', 'e added'])
  expect(differences({ a: [1] }, { a: [1, 2] })).toEqual([{ path: ['a', '1'], kind: 'added', after: 2 }])
})

test('a value of another kind is a change of the whole', () => {
  for (const [a, b] of [['1', '"1"'], ['null', '"null"'], ['{}', '[]'], ['null', '{}'], ['[1]', '1'], ['null', '["null"]']]) {
    expect(found(`{"x":${a}}`, `{"x":${b}}`), `${a} to ${b}`).toEqual(['x changed'])
    expect(found(`{"x":${b}}`, `{"x":${a}}`), `${b} to ${a}`).toEqual(['x changed'])
  }
})

test('numbers that a double cannot tell apart differ', () => {
  expect(found('{"id":9007199254740993123}', '{"id":9007199254740993124}')).toEqual(['id changed'])
})

test('a key that every object has is a key like others', () => {
  expect(found('{}', '{"constructor":1}')).toEqual(['constructor added'])
  expect(found('{"__proto__":1}', '{}')).toEqual(['__proto__ removed'])
})
