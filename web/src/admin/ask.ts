import { shallowRef } from 'vue'
import { Problem } from './api'

/** A question before something that cannot be taken back. */
export interface Question {
  title: string
  /** What happens if it is done. */
  text: string
  /** What the button that does it says. */
  doIt: string
  /** Does it. When it fails the question stays, with the problem. */
  act: () => Promise<void>
}

/** The question that is open. */
export const question = shallowRef<Question | null>(null)

/** Asks before something is done. */
export function confirm(q: Question) { question.value = q }

/** What was done last, for Toast.vue. */
export const said = shallowRef<{ text: string; problem?: Problem; at: number } | null>(null)

/** Tells that something was done. */
export function tell(text: string) { said.value = { text, at: Date.now() } }

/** Does something at once, and tells how it went. */
export async function attempt(done: string, act: () => Promise<unknown>) {
  try {
    await act()
    tell(done)
  } catch (e) {
    said.value = { text: '', problem: e instanceof Problem ? e : new Problem(0, 'internal', String(e)), at: Date.now() }
  }
}
