import { onUnmounted, ref, shallowRef, watch, type WatchSource } from 'vue'
import { Problem } from './api'

interface Options {
  /** Milliseconds between two loads; left out, it is loaded once. Not while the tab is hidden. */
  every?: number
  /** What it is loaded again for as soon as it changes. */
  when?: WatchSource<unknown>
  /** Whether to go on loading; usually yes. */
  live?: () => boolean
}

/** What is loaded from the server, with all that can happen to it. */
export interface Load<T> {
  data: Readonly<{ value: T | undefined }>
  error: Readonly<{ value: Problem | undefined }>
  loading: Readonly<{ value: boolean }>
  reload: () => Promise<void>
}

/**
 * Loads something for a component. A newer load aborts an older one; what was there stays until something newer is there; a server that
 * asks for patience gets it.
 */
export function useLoad<T>(load: (signal: AbortSignal, old: T | undefined) => Promise<T>, options: Options = {}): Load<T> {
  const data = shallowRef<T>()
  const error = shallowRef<Problem>()
  const loading = ref(true)
  let current: AbortController | undefined
  let timer: ReturnType<typeof setTimeout> | undefined

  async function reload() {
    current?.abort()
    clearTimeout(timer)
    const mine = (current = new AbortController())
    loading.value = true
    let patience = options.every
    try {
      const loaded = await load(mine.signal, data.value)
      if (mine.signal.aborted) return
      data.value = loaded
      error.value = undefined
    } catch (e) {
      if (mine.signal.aborted) return
      error.value = e instanceof Problem ? e : new Problem(0, 'internal', String(e))
      if ([403, 404, 422].includes(error.value.status)) patience = undefined // asking again gives the same answer
      if (error.value.retryAfter > 0) patience = Math.max(patience ?? 0, error.value.retryAfter * 1000)
    }
    loading.value = false
    if (patience !== undefined && !document.hidden) timer = setTimeout(again, patience)
  }

  function again() {
    if (options.live?.() ?? true) void reload()
    else timer = setTimeout(again, options.every)
  }

  function whenShown() {
    clearTimeout(timer)
    if (!document.hidden && options.every !== undefined) again()
  }

  document.addEventListener('visibilitychange', whenShown)
  onUnmounted(() => {
    document.removeEventListener('visibilitychange', whenShown)
    clearTimeout(timer)
    current?.abort()
  })
  if (options.when) watch(options.when, reload)
  void reload()
  return { data, error, loading, reload }
}
