import type { Category, InboxItem } from 'rollcall-client'
import { computed, ref, shallowRef, watch } from 'vue'
import { useNow } from './clock'
import type { Seat } from './seat'

export const categories: Category[] = ['announcement', 'remind', 'subscription', 'publication', 'system', 'mailbox']

/** The inbox as the page shows it: what the client has heard of, and the pages that were asked for. */
export function useMail(seat: Seat) {
  const fetched = shallowRef(new Map<string, InboxItem>())
  const settled = shallowRef(new Set<string>())
  const category = ref<Category | ''>('')
  const next = ref<string | null>(null)
  const asked = ref(false)
  const now = useNow(1000)

  const all = computed<InboxItem[]>(() => {
    const merged = new Map(fetched.value)
    for (const item of seat.snapshot.value.inbox.items) {
      // Nothing that was read is unread again, whoever heard of it first.
      merged.set(item.id, merged.get(item.id)?.read ? { ...item, read: true } : item)
    }
    return [...merged.values()].sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
  })
  const items = computed(() => all.value.filter((item) => category.value === '' || item.category === category.value))

  /** Notices that somebody must say to have seen, oldest first. */
  const pressing = computed(() => {
    const serverNow = now.value + seat.snapshot.value.clockOffset
    return all.value.filter((item) => item.requireAck && !item.read && !settled.value.has(item.id) && (item.expiresAt ?? Infinity) > serverNow).reverse()
  })

  // A cursor belongs to one category, and what was asked for is old after a break.
  watch([category, seat.live], () => { next.value = null; asked.value = false }, { flush: 'sync' })

  async function page(cursor?: string) {
    const wanted = category.value
    const answer = await seat.meeting.inbox({ cursor, limit: 20, category: wanted || undefined })
    if (wanted !== category.value) return // somebody chose another category in the meantime
    const known = new Map(fetched.value)
    for (const item of answer.items) known.set(item.id, item)
    fetched.value = known
    next.value = answer.next
    asked.value = true
  }

  function markFetched(which: (item: InboxItem) => boolean) {
    fetched.value = new Map([...fetched.value].map(([id, item]) => [id, which(item) ? { ...item, read: true } : item]))
  }

  async function read(ids: string[]) {
    await seat.meeting.read(ids)
    markFetched((item) => ids.includes(item.id))
  }

  async function readAll() {
    const wanted = category.value || undefined
    await seat.meeting.read('all', wanted)
    markFetched((item) => wanted === undefined || item.category === wanted)
  }

  /** Says that a notice was seen. It is read by that, too: nobody needs to be asked twice. */
  async function acknowledge(id: string) {
    await seat.meeting.acknowledge([id])
    settled.value = new Set(settled.value).add(id)
    await read([id])
  }

  seat.meeting.on('recalled', (id) => {
    if (!fetched.value.has(id)) return
    const rest = new Map(fetched.value)
    rest.delete(id)
    fetched.value = rest
  })

  return { items, pressing, category, next, asked, first: () => page(), more: () => page(next.value ?? undefined), read, readAll, acknowledge }
}

export type Mail = ReturnType<typeof useMail>
