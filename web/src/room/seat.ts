import { createMeeting, RollcallError, type Meeting, type MeetingOptions, type Snapshot } from 'rollcall-client'
import { computed, inject, onScopeDispose, provide, ref, shallowRef, watch, type ComputedRef, type InjectionKey, type Ref, type ShallowRef } from 'vue'
import { useI18n } from 'vue-i18n'
import { toast } from './toasts'

/** The meeting that a page shows, for all its panels. */
export interface Seat {
  meeting: Meeting
  snapshot: Readonly<ShallowRef<Snapshot>>
  /** Whether the server can be asked, and what is shown is true now. */
  live: ComputedRef<boolean>
  /** When the conference ended, by the server's clock; null while it goes on. */
  endedAt: Ref<number | null>
}

const key: InjectionKey<Seat> = Symbol('seat')

/** Takes a seat for as long as the component lives that calls it. */
export function takeSeat(options: MeetingOptions): Seat {
  const meeting = createMeeting(options)
  const snapshot = shallowRef(meeting.snapshot)
  const endedAt = ref<number | null>(null)
  const live = computed(() => ['online', 'draining'].includes(snapshot.value.connection.state))
  meeting.on('change', (now) => { snapshot.value = now })
  meeting.on('conferenceEnded', (at) => { endedAt.value = at })
  // Nobody gets into a conference that has ended: with another session it goes on.
  watch(() => snapshot.value.self?.sessionId, () => { endedAt.value = null })
  onScopeDispose(() => meeting.close())
  const seat = { meeting, snapshot, live, endedAt }
  provide(key, seat)
  meeting.connect()
  return seat
}

/** The seat that the page has taken. */
export function useSeat(): Seat {
  const seat = inject(key)
  if (seat === undefined) throw new Error('nobody has taken a seat')
  return seat
}

/** Names somebody who is known by his id, as the roster does. */
export function useNames(): (id: string, name?: string) => string {
  const { snapshot } = useSeat()
  return (id, name) => name || snapshot.value.roster?.users.find((user) => user.userId === id)?.userName || id
}

/** Says in plain words why the server did not do what it was asked. */
export function useComplaint(): (cause: unknown) => string {
  const { t, te } = useI18n()
  return (cause) => {
    const code = cause instanceof RollcallError ? cause.code : 'internal'
    return te(`error.${code}`, 'en') ? t(`error.${code}`) : t('error.other', { code })
  }
}

/** Asks the server for something, one at a time, and says so when it says no. */
export function useAsk() {
  const complaint = useComplaint()
  const busy = ref(false)
  async function ask<T>(question: () => Promise<T>): Promise<T | undefined> {
    if (busy.value) return undefined
    busy.value = true
    try {
      return await question()
    } catch (cause) {
      toast({ kind: 'bad', title: complaint(cause) })
      return undefined
    } finally {
      busy.value = false
    }
  }
  return { busy, ask }
}
