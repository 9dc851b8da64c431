import { defineConfig } from '@playwright/test'

// The server under test, started by pages_test.go.
const baseURL = process.env.ROLLCALL_TEST_URL
if (!baseURL) throw new Error('ROLLCALL_TEST_URL is not set: run go test ./test/pages')

// The pages at a desk and on a phone. When pictures are taken, each in both languages.
const desk = { viewport: { width: 1280, height: 860 } }
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

// What Chromium would ask the internet for by itself.
const quiet = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic']

export default defineConfig({
  testDir: '.',
  outputDir: process.env.ROLLCALL_TEST_OUT ?? 'test-results',
  workers: 1,
  retries: 0,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: { baseURL, browserName: 'chromium', launchOptions: { executablePath: process.env.ROLLCALL_TEST_CHROMIUM, args: quiet }, trace: 'retain-on-failure' },
  projects: [
    { name: 'desk', testMatch: /meeting|console/, use: { ...desk, locale: 'en-GB' } },
    { name: 'phone', testMatch: /meeting|console/, use: { ...phone, locale: 'zh-CN' } },
    { name: 'desk-zh', testMatch: /meeting|console/, use: { ...desk, locale: 'zh-CN' } },
    { name: 'phone-en', testMatch: /meeting|console/, use: { ...phone, locale: 'en-GB' } },
    { name: 'locked', testMatch: /locked/, use: { ...desk, locale: 'en-GB' } },
    { name: 'log', testMatch: /log/, use: { ...desk, locale: 'en-GB' } },
    { name: 'weight', testMatch: /weight/, use: { ...phone, locale: 'en-GB' } },
  ],
})
