import { ref, shallowRef } from 'vue'
import { settings } from '@/shared/settings'
import { api, believe, Problem, whenStranger, type Login, type Role } from './api'

/** Remembers that somebody logged in here, so that a browser without a login is not sent to be refused. */
const remembered = 'rollcall.console'
const rank: Record<Role, number> = { viewer: 1, backend: 2, admin: 3 }

/** Who we are; null while that is not known. */
export const me = shallowRef<Login | null>(null)

/** Whether the server is being asked who we are, wants a login, knows us, or does not answer. */
export const gate = ref<'asking' | 'login' | 'open' | 'away'>('asking')

/** Whether a login ended while the console was in use. */
export const ended = ref(false)

/** Whether our role may do what needs this one. */
export function may(role: Role): boolean {
  return me.value !== null && rank[me.value.role] >= rank[role]
}

whenStranger(() => {
  ended.value = gate.value === 'open'
  leave()
})

function enter(login: Login) {
  believe(login.csrf)
  me.value = login
  ended.value = false
  gate.value = 'open'
}

function leave() {
  localStorage.removeItem(remembered)
  believe('')
  me.value = null
  gate.value = 'login'
}

/** Asks the server who we are. */
export async function begin() {
  gate.value = 'asking'
  try {
    const { auth } = await settings()
    if (auth === 'jwt' && localStorage.getItem(remembered) === null) return leave()
    enter(await api.session())
  } catch (e) {
    if (e instanceof Problem && e.status === 401) leave()
    else gate.value = 'away'
  }
}

/** Logs in with an API key. Fails with a Problem. */
export async function login(key: string) {
  enter(await api.login(key))
  localStorage.setItem(remembered, '1')
}

/** Logs out. */
export async function logout() {
  await api.logout()
  leave()
}
