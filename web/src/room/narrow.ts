import { onScopeDispose, ref, type Ref } from 'vue'

/** Whether the page is so narrow that its parts are behind tabs. */
export function useNarrow(): Ref<boolean> {
  const query = matchMedia('(max-width: 760px)')
  const narrow = ref(query.matches)
  const look = () => { narrow.value = query.matches }
  query.addEventListener('change', look)
  onScopeDispose(() => query.removeEventListener('change', look))
  return narrow
}
