import { createMeeting, type Meeting, type MeetingOptions, type Snapshot } from 'rollcall-client'
import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

/** A meeting for as long as the component is there. The snapshot is shallow: a change is a new object, never one changed in place. */
export function useMeeting(options: MeetingOptions): { meeting: Meeting; snapshot: Readonly<ShallowRef<Snapshot>> } {
  const meeting = createMeeting(options)
  const snapshot = shallowRef(meeting.snapshot)
  meeting.on('change', (next) => (snapshot.value = next))
  meeting.connect()
  onScopeDispose(() => meeting.close())
  return { meeting, snapshot }
}
