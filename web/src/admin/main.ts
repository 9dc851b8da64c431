import { createApp } from 'vue'
import '@/shared/base.css'
import { speak } from '@/shared/i18n'
import en from './en'
import zh from './zh'
import Page from './Admin.vue'

createApp(Page).use(speak(en, zh)).mount('#app')
