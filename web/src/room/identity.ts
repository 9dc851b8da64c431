/** The longest id, in characters. */
const longest = 64

/** Makes an id of what somebody typed: letters, digits and . _ : @ - stay, whatever lies between them becomes one hyphen. May be blank. */
export function idFrom(text: string, limit = longest): string {
  const words = text.normalize('NFC').split(/[^\p{L}\p{Nd}._:@-]+/u).filter((word) => word !== '')
  return [...words.join('-')].slice(0, limit).join('')
}

/** Whether the server takes it as the id of a conference. */
export function namesConference(id: string): boolean {
  return id !== '' && !['0', 'undefined', 'null'].includes(id)
}

const suffixPlace = 'rollcall.suffix'
const namePlace = 'rollcall.name'
const conferencePlace = 'rollcall.conference'

/** A few characters that tell this browser's Anna from everybody else's. They stay the same. */
function suffix(): string {
  const known = localStorage.getItem(suffixPlace)
  if (known !== null && /^[a-z2-7]{5}$/.test(known)) return known
  const made = [...crypto.getRandomValues(new Uint8Array(5))].map((n) => 'abcdefghijklmnopqrstuvwxyz234567'[n % 32]).join('')
  localStorage.setItem(suffixPlace, made)
  return made
}

/** The id of whoever comes with this name from this browser. */
export function userIdFor(name: string): string {
  const end = suffix()
  const begin = idFrom(name, longest - end.length - 1)
  return begin === '' ? end : `${begin}-${end}`
}

/** Who came last, and where to. */
export function lastTime(): { name: string; conferenceId: string } {
  return { name: localStorage.getItem(namePlace) ?? '', conferenceId: localStorage.getItem(conferencePlace) ?? '' }
}

/** Remembers who comes, and where to, for the next time. */
export function rememberVisit(name: string, conferenceId: string) {
  if (name !== '') localStorage.setItem(namePlace, name)
  localStorage.setItem(conferencePlace, conferenceId)
}

/** A number of two digits for the suggested name, the same each time. */
export function guestNumber(): number {
  return 10 + ([...suffix()].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 90)
}
