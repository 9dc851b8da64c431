import { createApp } from 'vue'
import 'element-plus/theme-chalk/dark/css-vars.css'
import '@/shared/base.css'
import './admin.css'
import { speak } from '@/shared/i18n'
import en from './en'
import zh from './zh'
import Page from './Admin.vue'

// Element Plus goes by a class, our own colours by what the system prefers.
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark', dark.matches)
dark.addEventListener('change', follow)
follow()

createApp(Page).use(speak(en, zh)).mount('#app')
