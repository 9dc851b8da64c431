import type { Page } from '@playwright/test'
import { expect, test } from './people.ts'
import { speaker } from './texts.ts'

const t = speaker('admin', 'en')
const rounds = 5

/** The most that somebody may wait for new rows, in milliseconds: the median of all interactions. */
const instant = 300

const median = (of: number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!

/**
 * Does something to the log and returns the milliseconds from the event that the browser got to the picture with another first row. A
 * pause in typing that the page waits for is part of it.
 */
async function timed(page: Page, act: () => Promise<unknown>): Promise<number> {
  const took = page.evaluate(() => new Promise<number>((resolve) => {
    const first = () => new URLSearchParams(document.querySelector('tbody a')?.getAttribute('href')?.split('?')[1]).get('id')
    const before = first()
    let begin = 0
    for (const kind of ['input', 'change', 'click']) document.addEventListener(kind, () => { begin ||= performance.now() }, { capture: true, once: true })
    const observer = new MutationObserver(() => {
      if (begin === 0 || first() === before || first() === null) return
      observer.disconnect()
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begin))) // after it was painted
    })
    observer.observe(document.body, { subtree: true, childList: true, attributes: true })
  }))
  await act()
  return took
}

test('a log of a million rows', async ({ person }) => {
  const page = await person()
  await page.goto('/admin#/notices')
  const rows = page.locator('tbody tr')
  await expect(rows.first()).toBeVisible()
  const times = new Map<string, number[]>()
  const measure = async (what: string, act: () => Promise<unknown>) => {
    times.set(what, [...(times.get(what) ?? []), await timed(page, act)])
  }
  const field = (name: string) => page.getByLabel(t(`filter.${name}`), { exact: true })
  const older = page.getByRole('button', { name: t('notices.older') })
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 3; i++) await measure('older', () => older.click())
    await measure('a small conference', () => field('conferenceId').fill(`room-${101 + 2 * round}`))
    await expect(rows.first()).toContainText(`room-${101 + 2 * round}`)
    await measure('a large conference', () => field('conferenceId').fill('42'))
    await measure('older of a large conference', () => older.click())
    await measure('clear', () => page.getByRole('button', { name: t('filter.clear') }).click())
    await measure('state', () => page.getByRole('combobox', { name: t('filter.state') }).selectOption('suppressed'))
    await measure('older of a state', () => older.click())
    await measure('clear', () => page.getByRole('button', { name: t('filter.clear') }).click())
    await measure('recipient', () => field('recipientId').fill(`guest-${7 * round + 3}`))
    await measure('clear', () => page.getByRole('button', { name: t('filter.clear') }).click())
    await measure('text', () => field('q').fill(`notice ${process.env.ROLLCALL_TEST_ROWS!.length > 5 ? 98765 : 1234}${round}`))
    await measure('clear', () => page.getByRole('button', { name: t('filter.clear') }).click())
  }
  const all = [...times.values()].flat()
  const each = [...times].map(([what, of]) => `${what} ${Math.round(median(of))}`).join(', ')
  console.log(`seen: the log in the browser, ${process.env.ROLLCALL_TEST_ROWS} rows, from the event to the picture, medians in ms: all ${Math.round(median(all))}`
    + ` (${all.length} times, at most ${Math.round(Math.max(...all))}): ${each}`)
  expect(median(all)).toBeLessThan(instant)
})
