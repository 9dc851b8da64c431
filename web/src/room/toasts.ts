import { shallowRef } from 'vue'

/** A few words that are shown for a while. */
export interface Toast {
  id: string
  kind: 'info' | 'good' | 'bad'
  title: string
  text?: string
}

/** What is shown now, oldest first. */
export const toasts = shallowRef<Toast[]>([])

let count = 0

/** Shows a toast. The same id again takes the place of the first. */
export function toast(what: Omit<Toast, 'id'> & { id?: string }) {
  const id = what.id ?? `toast-${++count}`
  // More than three would hide the page: the oldest makes room.
  toasts.value = [...toasts.value.filter((t) => t.id !== id), { ...what, id }].slice(-3)
}

/** Takes a toast away, if it is there. */
export function dismiss(id: string) {
  if (toasts.value.some((t) => t.id === id)) toasts.value = toasts.value.filter((t) => t.id !== id)
}
