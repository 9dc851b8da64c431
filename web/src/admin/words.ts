import { useI18n } from 'vue-i18n'

/** Our word for a name of the protocol, by what it is a name of; the name itself where we have none, as a later server may have more. */
export function useWords() {
  const { t, te } = useI18n()
  return (kind: 'category' | 'event' | 'member' | 'reason' | 'state', name: string): string => {
    const key = `${kind}.${name.replaceAll(' ', '_')}`
    return te(key, 'en') ? t(key) : name
  }
}
