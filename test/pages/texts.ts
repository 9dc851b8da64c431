import adminEn from '../../web/src/admin/en.ts'
import adminZh from '../../web/src/admin/zh.ts'
import roomEn from '../../web/src/room/en.ts'
import roomZh from '../../web/src/room/zh.ts'

// The pages' own texts: what somebody reads is how he finds what to click on.
type Texts = { [key: string]: string | Texts }
const all: Record<'room' | 'admin', Record<'en' | 'zh', Texts>> = { room: { en: roomEn, zh: roomZh }, admin: { en: adminEn, zh: adminZh } }

/** Returns what a page says under a key, in the language of a locale. Of a text for several numbers, `choice` says which. */
export function speaker(page: 'room' | 'admin', locale: string | undefined) {
  const texts = all[page][locale?.startsWith('zh') ? 'zh' : 'en']
  return (key: string, values: Record<string, string | number> = {}, choice = -1): string => {
    let text: string | Texts | undefined = texts
    for (const part of key.split('.')) text = typeof text === 'object' ? text[part] : undefined
    if (typeof text !== 'string') throw new Error(`the page has no text ${key}`)
    const forms = text.split(' | ')
    return (choice < 0 ? forms.at(-1)! : forms[Math.min(choice, forms.length - 1)]!).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole))
  }
}
