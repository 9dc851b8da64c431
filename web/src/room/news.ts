import type { Json } from 'rollcall-client'
import { ref, shallowRef, watch } from 'vue'
import type { Seat } from './seat'

/** Something that the backend sent under a name of its own. */
export interface News {
  key: number
  name: string
  at: number
  data: Json
}

const most = 100

/** Gathers what comes under names of the backend's own, newest first. `looking` tells whether somebody sees it. */
export function useNews(seat: Seat, looking: () => boolean) {
  const list = shallowRef<News[]>([])
  /** How many came since somebody looked. */
  const unseen = ref(0)
  let count = 0

  function add(name: string, at: number, data: Json) {
    list.value = [{ key: ++count, name, at, data }, ...list.value].slice(0, most)
    if (!looking()) unseen.value++
  }

  seat.meeting.on('notice', (notice) => {
    if (notice.event !== 'notice') add(notice.event, notice.createdAt, notice.data)
  })
  seat.meeting.on('other', (name, args) => add(name, seat.meeting.serverNow(), args.length === 1 ? args[0]! : args))
  watch(looking, (now) => { if (now) unseen.value = 0 })
  return { list, unseen }
}

export type NewsList = ReturnType<typeof useNews>
