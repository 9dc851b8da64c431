import type { Json, Notice } from 'rollcall-client'
import { useI18n } from 'vue-i18n'

/** Says what a notice says: its title, its text, and what the backend put beside them. */
export function useNoticeText() {
  const { t } = useI18n()
  return (notice: Notice): { title: string; text: string; data: Json } => {
    const name = notice.senderName || notice.senderId
    const plain = typeof notice.data === 'string' ? notice.data : ''
    const text = notice.body || plain
    const data = plain === '' ? notice.data : null
    if (notice.title !== '') return { title: notice.title, text, data }
    if (notice.event === 'direct_message') return { title: t('notice.direct', { name }), text, data }
    if (notice.event === 'todo_message') return { title: t('notice.todo', { name }), text, data }
    if (notice.event !== 'notice') return { title: notice.event, text, data }
    return { title: text || t('notice.untitled'), text: '', data }
  }
}
