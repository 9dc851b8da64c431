import { computed, type ComputedRef } from 'vue'
import { useI18n } from 'vue-i18n'
import { useNow } from './clock'
import { useSeat } from './seat'

/** When the next attempt to connect is due, counted down. */
export function useNextTry(): ComputedRef<string> {
  const { t } = useI18n()
  const { snapshot } = useSeat()
  const now = useNow()
  return computed(() => {
    const seconds = Math.ceil(((snapshot.value.connection.retryAt ?? 0) - now.value) / 1000)
    return seconds > 0 ? t('banner.nextTry', { seconds }) : t('banner.tryingNow')
  })
}
