import { shallowRef } from 'vue'

/** Where the console is: what is behind the # of the address. */
export interface Route {
  path: string[]
  query: Record<string, string>
}

function read(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2)
  return { path: path.split('/').filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query)) }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part // somebody typed it
  }
}

/** Where the console is now. */
export const route = shallowRef(read())
addEventListener('hashchange', () => { route.value = read() })

/** The address of a place. Blank values are left out. */
export function href(path: string[], query: Record<string, string | undefined> = {}): string {
  const filled = Object.entries(query).filter((e): e is [string, string] => !!e[1])
  const search = new URLSearchParams(filled).toString()
  return '#/' + path.map(encodeURIComponent).join('/') + (search ? '?' + search : '')
}

/** Goes to a place, as a link does. */
export function go(path: string[], query: Record<string, string | undefined> = {}) {
  location.hash = href(path, query)
}

/** Changes the address of where we are, without a step in the history. */
export function settle(path: string[], query: Record<string, string | undefined>) {
  const to = href(path, query)
  if (to === location.hash) return
  history.replaceState(null, '', to)
  route.value = read()
}
