import { useI18n } from 'vue-i18n'
import { useNoticeText } from './notice'
import type { Seat } from './seat'
import { dismiss, toast } from './toasts'

/** Shows for a while what has just come, whatever part of the meeting is being looked at. */
export function useAnnouncements(seat: Seat) {
  const { t } = useI18n()
  const words = useNoticeText()
  // What waited for him is in his inbox, with its number; news is what came after that, also while the line was down.
  const satDown = Date.now()
  const isNews = (at: number) => at > satDown + seat.snapshot.value.clockOffset

  seat.meeting.on('notice', (notice) => {
    if (notice.requireAck || !isNews(notice.createdAt)) return // it has a dialog, or is old
    if (notice.event !== 'notice' && notice.title === '') return // a word between programs; it is among the events
    const { title, text } = words(notice)
    toast({ id: notice.id, kind: 'info', title: `${t(`category.${notice.category}`)}: ${title}`, text })
  })
  seat.meeting.on('direct', ({ id, from, fromName, body, at }) => {
    if (isNews(at)) toast({ id, kind: 'info', title: t('notice.direct', { name: fromName || from }), text: typeof body === 'string' ? body : '' })
  })
  seat.meeting.on('todo', ({ id, senderId, createdAt }) => {
    if (isNews(createdAt)) toast({ id, kind: 'info', title: t('notice.todo', { name: senderId }) })
  })
  seat.meeting.on('recalled', dismiss)
  seat.meeting.on('timerFinished', () => toast({ kind: 'info', title: t('timer.over') }))
  seat.meeting.on('conferenceEnded', () => toast({ kind: 'info', title: t('overNow') }))
}
