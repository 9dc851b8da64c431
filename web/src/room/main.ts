import { createApp } from 'vue'
import '@/shared/base.css'
import './room.css'
import { speak } from '@/shared/i18n'
import en from './en'
import zh from './zh'
import Page from './Room.vue'

const i18n = speak(en, zh)
for (const locale of ['en', 'zh-CN'] as const) {
  i18n.global.setDateTimeFormat(locale, {
    clock: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    seconds: { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
    moment: { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  })
  i18n.global.setNumberFormat(locale, { percent: { style: 'percent', maximumFractionDigits: 1 } })
}

createApp(Page).use(i18n).mount('#app')
