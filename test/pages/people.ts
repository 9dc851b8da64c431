import AxeBuilder from '@axe-core/playwright'
import { expect, test as base, type BrowserContext, type Page } from '@playwright/test'

export { expect }

/** Whatever a page must not do, as it happens: errors on the console, exceptions, requests to anybody else. */
function watch(context: BrowserContext, faults: string[], forgiven: () => boolean): void {
  context.on('console', (m) => {
    if (m.type() === 'error' && !forgiven()) faults.push(`console: ${m.text()} (${m.location().url})`)
  })
  context.on('weberror', (e) => faults.push(`exception: ${e.error().stack ?? e.error().message}`))
  context.on('request', (r) => {
    const { hostname, protocol } = new URL(r.url())
    if (protocol !== 'data:' && protocol !== 'blob:' && hostname !== '127.0.0.1') faults.push(`request to ${r.url()}`)
  })
}

interface People {
  /** Opens a page for another person: nothing is shared with the others. */
  person: (at?: string) => Promise<Page>
  /** While it runs, errors of the network on the console are forgiven: browsers report lost links there, whatever a page does. */
  withoutLink: (during: () => Promise<void>) => Promise<void>
}

export const test = base.extend<People & { faults: string[]; line: { lost: boolean } }>({
  faults: async ({}, use) => {
    const faults: string[] = []
    await use(faults)
    expect(faults, 'the pages did what they must not').toEqual([])
  },
  line: async ({}, use) => use({ lost: false }),
  withoutLink: async ({ line }, use) =>
    use(async (during) => {
      line.lost = true
      await during()
      line.lost = false
    }),
  person: async ({ browser, contextOptions, baseURL, faults, line }, use) => {
    const all: BrowserContext[] = []
    await use(async (at = baseURL!) => {
      const context = await browser.newContext({ ...contextOptions, baseURL: at })
      all.push(context)
      watch(context, faults, () => line.lost)
      return context.newPage()
    })
    await Promise.all(all.map((c) => c.close()))
  },
})

/** Waits until nothing fades any more: half faded text has no contrast. What pulses for ever is not waited for. */
async function atRest(page: Page): Promise<void> {
  await expect(async () => {
    const fading = await page.evaluate(() => document.getAnimations().filter((a) => {
      const effect = a.effect as KeyframeEffect
      return a.playState === 'running' && effect.getComputedTiming().endTime !== Infinity && effect.getKeyframes().some((k) => 'opacity' in k || 'color' in k || 'backgroundColor' in k)
    }).length)
    expect(fading, 'something still fades').toBe(0)
  }).toPass({ timeout: 10_000 })
}

/** Expects that nothing on a page keeps people out: no serious or critical violation of WCAG 2.1 AA. */
export async function accessible(page: Page, what: string): Promise<void> {
  await atRest(page)
  const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']).analyze()
  const grave = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
  expect(grave.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target.join(' ')} (${n.any.map((a) => a.message).join(', ')})`).join('; ')}`), `axe on ${what}`).toEqual([])
}

/** Expects that nothing sticks out to the right. */
export async function fits(page: Page): Promise<void> {
  const [needed, given] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  expect(needed, 'the page scrolls sideways').toBeLessThanOrEqual(given)
}

/** Takes a picture for docs/screenshots when pictures are wanted. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.ROLLCALL_TEST_PICTURES
  if (folder) await page.screenshot({ path: `${folder}/${name}.png`, animations: 'disabled' })
}

/** Calls REST as the meeting backend does, and expects that it is done. */
export async function rest(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await fetch(process.env.ROLLCALL_TEST_URL + '/api/v1' + path, {
    method,
    headers: { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await answer.text()
  expect(answer.ok, `${method} ${path}: ${answer.status} ${text}`).toBe(true)
  return text === '' ? undefined : JSON.parse(text)
}
