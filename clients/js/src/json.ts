import type { Json } from './types.js'

export type JsonObject = { [key: string]: Json }

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Applies an RFC 7396 merge patch. Nothing is changed in place: what the patch does not touch, and what it sets to what it is already, stays the same object.
 *
 * Numbers are those of JavaScript: beyond 2^53 they were rounded when the frame was parsed.
 */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return keep(target, patch)
  const before = isObject(target) ? target : {}
  const after = new Map(Object.entries(before)) // a key such as __proto__ is one like any other
  let changed = false
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      changed = after.delete(key) || changed
      continue
    }
    const was = after.get(key)
    const is = mergePatch(was, value)
    if (is !== was) {
      after.set(key, is)
      changed = true
    }
  }
  return changed ? Object.fromEntries(after) : before
}

/** Returns next, but with every part of old that is equal to it in the place of its own: old itself if all of it is. */
export function keep<T>(old: unknown, next: T): T {
  if (Object.is(old, next)) return next
  if (Array.isArray(old) && Array.isArray(next)) {
    const kept = next.map((value, i) => keep(old[i], value))
    return (kept.length === old.length && kept.every((value, i) => value === old[i]) ? old : kept) as T
  }
  if (isObject(old) && isObject(next)) {
    const kept = Object.entries(next).map(([key, value]) => [key, keep(Object.hasOwn(old, key) ? old[key] : undefined, value)] as const)
    const same = kept.length === Object.keys(old).length && kept.every(([key, value]) => Object.hasOwn(old, key) && old[key] === value)
    return (same ? old : Object.fromEntries(kept)) as T
  }
  return next
}
