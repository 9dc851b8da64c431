import { Exact } from './exact'

/** What became of one place in a JSON value. */
export interface Difference {
  /** Keys and indexes from the root. */
  path: string[]
  kind: 'added' | 'removed' | 'changed'
  before?: unknown
  after?: unknown
}

const branch = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !(v instanceof Exact)

/** All places where two JSON values differ, in the order of the older one, what is new behind. Lists are compared by position. */
export function differences(before: unknown, after: unknown, path: string[] = []): Difference[] {
  if (!branch(before) || !branch(after) || Array.isArray(before) !== Array.isArray(after)) {
    const same = !branch(before) && !branch(after) && typeof before === typeof after && String(before) === String(after)
    return same ? [] : [{ path, kind: 'changed', before, after }]
  }
  const found: Difference[] = []
  for (const key of Object.keys(before)) {
    if (Object.hasOwn(after, key)) found.push(...differences(before[key], after[key], [...path, key]))
    else found.push({ path: [...path, key], kind: 'removed', before: before[key] })
  }
  for (const key of Object.keys(after)) {
    if (!Object.hasOwn(before, key)) found.push({ path: [...path, key], kind: 'added', after: after[key] })
  }
  return found
}

/** A place as text: topicInfo.items[2].title */
export function place(path: string[]): string {
  return path.map((key, i) => (/^\d+$/.test(key) ? `[${key}]` : i === 0 ? key : `.${key}`)).join('')
}
