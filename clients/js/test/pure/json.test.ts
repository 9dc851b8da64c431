import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isObject, keep, mergePatch } from '../../src/json.js'
import type { Json } from '../../src/types.js'
import { generator, seed } from '../random.js'

// The examples of RFC 7396, appendix A: original, patch, result.
const examples: [string, string, string][] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
]

test('mergePatch does what RFC 7396 shows', () => {
  for (const [original, patch, result] of examples) {
    assert.equal(JSON.stringify(mergePatch(JSON.parse(original), JSON.parse(patch))), result, `${original} with ${patch}`)
  }
})

test('keys that objects have by themselves are keys like any other', () => {
  const patched = mergePatch(JSON.parse('{"a":1}'), JSON.parse('{"__proto__":{"b":2},"constructor":{"c":3},"toString":null}'))
  assert.equal(JSON.stringify(patched), '{"a":1,"__proto__":{"b":2},"constructor":{"c":3}}')
  assert.equal(Object.getPrototypeOf(patched), Object.prototype)
  assert.equal(({} as { b?: number }).b, undefined)
})

const keys = ['', 'a', 'b', 'ä', '__proto__', 'constructor']

/** Makes a value; null only within lists, as a merge patch cannot say it elsewhere. */
function value(random: () => number, depth: number, inList = false): Json {
  const pick = Math.floor(random() * (depth > 0 ? 7 : 4))
  if (pick === 0) return inList ? null : Math.floor(random() * 3)
  if (pick === 1) return random() < 0.5
  if (pick < 4) return ['', 'x', 'y'][Math.floor(random() * 3)] ?? ''
  if (pick === 4) return Array.from({ length: Math.floor(random() * 3) }, () => value(random, depth - 1, true))
  return Object.fromEntries(keys.filter(() => random() < 0.5).map((key) => [key, value(random, depth - 1)]))
}

/** The plainest patch from one value to another: it goes into objects, and says everything else anew. */
function difference(from: Json, to: Json): Json {
  if (!isObject(from) || !isObject(to)) return to
  const patch: [string, Json][] = []
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) patch.push([key, null])
  for (const [key, is] of Object.entries(to)) {
    if (!Object.hasOwn(from, key)) patch.push([key, is])
    else if (canonical(from[key]) !== canonical(is)) patch.push([key, difference(from[key] as Json, is)])
  }
  return Object.fromEntries(patch)
}

/** One text for all objects with the same keys and values. */
function canonical(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (!isObject(value)) return JSON.stringify(value)
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

test('a walk over random trees, by patches alone, arrives at each of them', () => {
  const random = generator(seed)
  let tree: Json = freeze({})
  for (let step = 0; step < 5000; step++) {
    const goal = freeze(value(random, 4))
    const patch: Json = freeze(difference(tree, goal))
    const next: Json = freeze(mergePatch(tree, patch))
    const told: string = `seed ${seed}, step ${step}: ${canonical(tree)} with ${canonical(patch)}`
    assert.equal(canonical(next), canonical(goal), told)
    if (isObject(tree) && isObject(next) && isObject(patch)) {
      for (const [key, is] of Object.entries(next)) {
        if (!Object.hasOwn(patch, key)) assert.equal(is, tree[key], `${told}: ${key} is another object`)
      }
    }
    const copy = JSON.parse(JSON.stringify(next)) as Json
    assert.equal(mergePatch(next, copy), next, `${told}: the same again is another object`)
    assert.equal(keep(next, copy), next, `${told}: an equal tree is another object`)
    const kept: Json = keep(tree, goal)
    assert.equal(canonical(kept), canonical(goal), told)
    tree = next
  }
})

test('keep shares what is equal, however deep', () => {
  const old = { a: { b: [1, { c: 2 }] }, d: [1, 2], e: 1 }
  const next = keep(old, { a: { b: [1, { c: 2 }] }, d: [1, 3], e: 1 })
  assert.equal(next.a, old.a)
  assert.notEqual(next.d, old.d)
  assert.deepEqual(next, { a: { b: [1, { c: 2 }] }, d: [1, 3], e: 1 })
  assert.deepEqual(keep({ a: 1, b: 2 }, { a: 1 }), { a: 1 })
  assert.deepEqual(keep([1, 2], [1]), [1])
  assert.deepEqual(keep({ a: undefined }, { b: undefined }), { b: undefined })
})
