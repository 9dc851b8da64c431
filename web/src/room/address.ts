/** What the address of the page says about who comes and where to. Blank is what it does not say. */
export interface Address {
  userId: string
  conferenceId: string
  userName: string
  token: string
}

// The server reads these as nobody and as no conference.
const none = ['', 'undefined', 'null']

/** Reads the address. A token is taken out of it at once: addresses are remembered, shown and shared. */
export function readAddress(): Address {
  const query = new URLSearchParams(location.search)
  const word = (key: string) => {
    const value = (query.get(key) ?? '').normalize('NFC')
    return none.includes(value) ? '' : value
  }
  const conferenceId = word('conferenceId')
  const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? ''
  if (token !== '') {
    rememberToken(token)
    history.replaceState(null, '', location.pathname + location.search)
  }
  return { userId: word('userId'), conferenceId: conferenceId === '0' ? '' : conferenceId, userName: word('userName'), token: token || (sessionStorage.getItem(place) ?? '') }
}

/** Makes the address one that leads back here: with a user to the same seat, without one to the door of the conference. */
export function writeAddress(to: { conferenceId: string; userId?: string; userName?: string }) {
  const query = new URLSearchParams()
  for (const key of ['userId', 'conferenceId', 'userName'] as const) if (to[key]) query.set(key, to[key])
  history.replaceState(null, '', `${location.pathname}?${query}`)
}

/** Where somebody else can come in. */
export function inviteLink(conferenceId: string): string {
  return `${location.origin}${location.pathname}?${new URLSearchParams({ conferenceId })}`
}

const place = 'rollcall.token'

/** Keeps the token for as long as the tab is open, so that a reload is not a way out. */
export function rememberToken(token: string) {
  sessionStorage.setItem(place, token)
}

/** Lets go of the token: it was refused, or whoever it names has left. */
export function forgetToken() {
  sessionStorage.removeItem(place)
}
