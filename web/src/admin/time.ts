import { ref } from 'vue'

/** A clock that ticks once a second, for what counts down or says how long ago something was. */
export const clock = ref(Date.now())
setInterval(() => { if (!document.hidden) clock.value = Date.now() }, 1000)

const two = (n: number) => String(n).padStart(2, '0')

/** A moment as tables show it: the time, and the date unless it is today. */
export function brief(at: number): string {
  const d = new Date(at)
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
  const date = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`
  return new Date().toDateString() === d.toDateString() ? time : `${date} ${time}`
}

/** A moment in full, in the zone of the browser. */
export function full(at: number, locale: string): string {
  const parts = { year: 'numeric', month: 'long', day: 'numeric', weekday: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short' } as const
  return `${new Intl.DateTimeFormat(locale, { ...parts, fractionalSecondDigits: 3, hour12: false }).format(at)}`
}

/** Hours and minutes of a moment. */
export function hours(at: number): string {
  const d = new Date(at)
  return `${two(d.getHours())}:${two(d.getMinutes())}`
}

/** A length of time: 1:02:03 or 2:03. */
export function length(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000))
  const h = Math.floor(s / 3600)
  return (h > 0 ? `${h}:${two(Math.floor(s / 60) % 60)}` : String(Math.floor(s / 60) % 60)) + `:${two(s % 60)}`
}

/** Milliseconds, as text in an address, to what an input of the type datetime-local holds. */
export function toInput(ms: string | undefined): string {
  if (!ms || !Number.isFinite(Number(ms))) return ''
  const d = new Date(Number(ms))
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

/** The way back; '' for an input that is empty. */
export function fromInput(text: string): string {
  const ms = new Date(text).getTime()
  return text && Number.isFinite(ms) ? String(ms) : ''
}

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** When something with this id was made: ids begin with the time. */
export function timeOf(id: string): number {
  return Array.from(id.slice(0, 10)).reduce((ms, c) => ms * 32 + Math.max(0, alphabet.indexOf(c)), 0)
}
