import { createI18n } from 'vue-i18n'
import { watch } from 'vue'

/** The languages of the pages. */
export const languages = { en: 'English', 'zh-CN': '中文' } as const
export type Language = keyof typeof languages

/** Where the language that somebody has chosen is remembered. */
const remembered = 'rollcall.language'

/** The language that was chosen last, else the first one of the browser that we speak. */
function usual(): Language {
  const chosen = localStorage.getItem(remembered)
  if (chosen !== null && chosen in languages) return chosen as Language
  return navigator.languages.some((l) => l.toLowerCase().startsWith('zh')) && !navigator.languages[0]?.toLowerCase().startsWith('en') ? 'zh-CN' : 'en'
}

/**
 * The texts of a page in both languages; en says which there are. The document's language follows, and so does what is remembered.
 */
export function speak<Texts extends object>(en: Texts, zh: NoInfer<Texts>) {
  const i18n = createI18n({ legacy: false, locale: usual(), fallbackLocale: 'en', messages: { en, 'zh-CN': zh } as never })
  const locale = i18n.global.locale as unknown as { value: Language }
  watch(() => locale.value, (language) => { document.documentElement.lang = language }, { immediate: true })
  return i18n
}

/** Remembers a language that somebody chose. */
export function remember(language: Language) {
  localStorage.setItem(remembered, language)
}
