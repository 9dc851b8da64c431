import type { Json } from 'rollcall-client'

export type Fields = { [key: string]: Json }

/** How to show a value that we know nothing about but its name and what it looks like. */
export type Shown =
  | { kind: 'nothing' }
  | { kind: 'text'; text: string }
  | { kind: 'yes-no'; yes: boolean }
  | { kind: 'percent'; percent: number }
  | { kind: 'moment'; at: number }
  | { kind: 'link'; href: string }
  | { kind: 'list'; items: Json[] }
  | { kind: 'fields'; fields: [string, Json][] }

/** Whether a value is an object, so that it has fields. */
export function isFields(value: Json | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a value has others in it. */
export function isNested(value: Json): boolean {
  return typeof value === 'object' && value !== null
}

/** Looks at a value under a name, and says how to show it. */
export function shown(name: string, value: Json): Shown {
  if (value === null || value === '') return { kind: 'nothing' }
  if (typeof value === 'boolean') return { kind: 'yes-no', yes: value }
  if (typeof value === 'number') return shownNumber(name, value)
  if (typeof value === 'string') return shownText(name, value)
  if (Array.isArray(value)) return value.length === 0 ? { kind: 'nothing' } : { kind: 'list', items: value }
  // The short ones first: what comes after a long list is not found.
  const fields = Object.entries(value).sort(([, a], [, b]) => Number(isNested(a)) - Number(isNested(b)))
  return fields.length === 0 ? { kind: 'nothing' } : { kind: 'fields', fields }
}

const ofHundred = /(percent|percentage|progress|rate|ratio)$/i
const ofTime = /(at|time|date|since|until|deadline)$/i
// 2001 to 2100: a number in there, under the name of a time, is one in milliseconds.
const earliest = 978307200000
const latest = 4102444800000

function shownNumber(name: string, value: number): Shown {
  if (ofHundred.test(name)) {
    const percent = value > 0 && value < 1 ? value * 100 : value
    if (percent >= 0 && percent <= 100) return { kind: 'percent', percent }
  }
  if (ofTime.test(name) && value >= earliest && value <= latest) return { kind: 'moment', at: value }
  return { kind: 'text', text: String(value) }
}

function isAddress(text: string): boolean {
  try {
    new URL(text)
    return true
  } catch {
    return false
  }
}

function shownText(name: string, value: string): Shown {
  if (/^https?:\/\/\S+$/i.test(value) && isAddress(value)) return { kind: 'link', href: value }
  if (/^\d+(\.\d+)?\s*%$/.test(value) && parseFloat(value) <= 100) return { kind: 'percent', percent: parseFloat(value) }
  // An address of another kind, such as rtmp, is text that can be copied; a script in the place of one is not even that.
  if (/^(url|.*Url|link|href)$/.test(name) && /^\s*(javascript|data|vbscript):/i.test(value)) return { kind: 'nothing' }
  return { kind: 'text', text: value }
}

const titles = ['title', 'name', 'topic', 'subject', 'userName']
const texts = ['content', 'description', 'summary', 'text', 'body']

/** What a section is about, taken out of it: its title, its text, and what is left. */
export function lead(value: Json | undefined, without: string[] = []): { title: string; text: string; rest: Fields } {
  if (!isFields(value)) return { title: '', text: '', rest: value === undefined || value === null ? {} : { '': value } }
  const rest = { ...value }
  for (const key of without) delete rest[key]
  const take = (keys: string[]) => {
    const key = keys.find((k) => typeof rest[k] === 'string' && rest[k] !== '')
    if (key === undefined) return ''
    const text = rest[key] as string
    delete rest[key]
    return text
  }
  return { title: take(titles), text: take(texts), rest }
}

/** A name of a field as words: signedNumber and signed_number are "Signed number". */
export function words(name: string): string {
  const text = name.replace(/[_-]+/g, ' ').replace(/([a-z\d])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`).trim()
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** Our own word for a name that others chose, if we have one: "constructor" is a name like any other. */
export function wordFor(texts: object, name: string): string | undefined {
  const word: unknown = Object.hasOwn(texts, name) ? (texts as Record<string, unknown>)[name] : undefined
  return typeof word === 'string' ? word : undefined
}
