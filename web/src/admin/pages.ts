import { computed, ref, watch, type WatchSource } from 'vue'
import type { Page } from './api'
import { useLoad, type Load } from './load'

/** A list that the server gives out page by page. */
export interface Pages<T> extends Load<Page<T>> {
  items: Readonly<{ value: T[] }>
  next: Readonly<{ value: string | null }>
  /** Which page is shown, from 1. */
  number: Readonly<{ value: number }>
  forth(): void
  back(): void
}

/** Loads a list page by page, from the first one again as soon as `when` changes. */
export function usePages<T>(load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>, options: { every?: number; when?: WatchSource<unknown> } = {}): Pages<T> {
  const cursors = ref<string[]>([])
  if (options.when) watch(options.when, () => { cursors.value = [] }, { flush: 'sync' })
  const when = () => [cursors.value.at(-1), options.when && (typeof options.when === 'function' ? options.when() : options.when.value)]
  const loaded = useLoad((signal) => load(cursors.value.at(-1), signal), { every: options.every, when })
  return {
    ...loaded,
    items: computed(() => loaded.data.value?.items ?? []),
    next: computed(() => loaded.data.value?.next ?? null),
    number: computed(() => cursors.value.length + 1),
    forth: () => { if (loaded.data.value?.next) cursors.value = [...cursors.value, loaded.data.value.next] },
    back: () => { cursors.value = cursors.value.slice(0, -1) },
  }
}
