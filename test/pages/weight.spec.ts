import { expect, test } from '@playwright/test'
import { speaker } from './texts.ts'

// A phone of some years ago on a slow mobile network: what Chromium's own tools call "Slow 4G", and a processor four times slower.
const network = { offline: false, latency: 150, downloadThroughput: (1.6 * 1024 * 1024) / 8, uploadThroughput: (750 * 1024) / 8 }
const slowdown = 4
const visits = 5

/** The most that a first visit of /room may load, in bytes on the wire. */
const mostBytes = 350 * 1024

const median = (of: number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!

test('the first visit of /room', async ({ browser, contextOptions, baseURL }) => {
  const weights: number[] = []
  const times: number[] = []
  for (let visit = 0; visit < visits; visit++) {
    const context = await browser.newContext({ ...contextOptions, baseURL })
    const page = await context.newPage()
    const cdp = await context.newCDPSession(page)
    await cdp.send('Network.enable')
    await cdp.send('Network.emulateNetworkConditions', network)
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: slowdown })
    let bytes = 0
    cdp.on('Network.loadingFinished', (e) => { bytes += e.encodedDataLength })
    // Interactive is when the button can be seen and no task keeps the page busy for longer than 50 ms any more.
    await page.addInitScript(() => {
      const seen = { shown: 0, busyUntil: 0 }
      Object.assign(window, { seen })
      new PerformanceObserver((list) => {
        for (const task of list.getEntries()) seen.busyUntil = Math.max(seen.busyUntil, task.startTime + task.duration)
      }).observe({ type: 'longtask', buffered: true })
      const look = () => {
        if (document.querySelector('button[type=submit]')) seen.shown = performance.now()
        else requestAnimationFrame(look)
      }
      look()
    })
    await page.goto('/room', { waitUntil: 'networkidle' })
    const enter = page.getByRole('button', { name: speaker('room', 'en')('arrive.enter') })
    await expect(enter).toBeEnabled()
    const { shown, busyUntil } = await page.evaluate(() => (window as unknown as { seen: { shown: number; busyUntil: number } }).seen)
    expect(shown).toBeGreaterThan(0)
    weights.push(bytes)
    times.push(Math.max(shown, busyUntil))
    await context.close()
  }
  console.log(`seen: a first visit of /room loads ${Math.ceil(median(weights) / 1024)} KiB and is interactive after ${Math.round(median(times))} ms`
    + ` (median of ${visits}; 1.6 Mbit/s, 150 ms, a processor ${slowdown} times slower)`)
  expect(median(weights)).toBeLessThan(mostBytes)
})
