import { onScopeDispose, ref, type Ref } from 'vue'

/** The time of this machine, in milliseconds, read again and again while somebody uses it. */
export function useNow(everyMs = 250): Ref<number> {
  const now = ref(Date.now())
  const timer = setInterval(() => { now.value = Date.now() }, everyMs)
  onScopeDispose(() => clearInterval(timer))
  return now
}
