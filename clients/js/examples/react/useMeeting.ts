import { useCallback, useEffect, useState, useSyncExternalStore } from 'react'
import { createMeeting, type Meeting, type Snapshot } from 'rollcall-client'

/** A meeting for as long as the component is there. close() is for good, so that each effect makes its own. */
export function useMeeting(userId: string, conferenceId: string): { meeting?: Meeting; snapshot?: Snapshot } {
  const [meeting, setMeeting] = useState<Meeting>()
  useEffect(() => {
    const own = createMeeting({ userId, conferenceId, shared: true })
    own.connect()
    setMeeting(own)
    return () => own.close()
  }, [userId, conferenceId])
  const subscribe = useCallback((changed: () => void) => meeting?.on('change', changed) ?? (() => {}), [meeting])
  const snapshot = useSyncExternalStore(subscribe, () => meeting?.snapshot)
  return { meeting, snapshot }
}
