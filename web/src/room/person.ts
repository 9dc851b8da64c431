import type { User } from 'rollcall-client'

/** What to call somebody. */
export function callName(who: { userName: string; userId: string }): string {
  return who.userName || who.userId
}

/** One or two characters for the picture of somebody: the last two of a Chinese name, the first of the first and last word of others. */
export function initials(name: string): string {
  const letters = [...name.normalize('NFC')].filter((c) => /[\p{L}\p{Nd}\s._-]/u.test(c)).join('').trim()
  if (/^[\p{Script=Han}]+$/u.test(letters)) return [...letters].slice(-2).join('')
  const words = letters.split(/[\s._-]+/).filter((word) => word !== '')
  const first = [...(words[0] ?? '?')][0] ?? '?'
  const last = words.length > 1 ? [...(words.at(-1) ?? '')][0] : ''
  return (first + (last ?? '')).toUpperCase()
}

/** An angle on the colour wheel that stays the same for an id. */
export function hue(id: string): number {
  let sum = 0
  for (const c of id) sum = (sum * 31 + (c.codePointAt(0) ?? 0)) % 100_003
  return (sum * 137) % 360 // ids that differ by one are far apart
}

/** The kinds of the devices of somebody, each once, with how many there are. */
export function deviceKinds(user: User): { kind: string; count: number }[] {
  const counts = new Map<string, number>()
  for (const device of user.devices) counts.set(device.clientType, (counts.get(device.clientType) ?? 0) + 1)
  return [...counts].map(([kind, count]) => ({ kind, count }))
}
