import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { browse, serve } from '../browser.js'
import { online, Rollcall } from '../rollcall.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const types: { [extension: string]: string } = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript' }

test('the page without a bundler shows who is there', async (t) => {
  const origin = await serve(t, async (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://localhost')
    const file = root + (pathname.endsWith('/') ? `${pathname}index.html` : pathname)
    try {
      response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream').end(await readFile(file))
    } catch {
      response.writeHead(404).end()
    }
  })
  const rollcall = await Rollcall.start(t, { http: { allowed_origins: [origin] } })
  const ben = rollcall.meeting(t, { userId: 'ben', conferenceId: '42' })
  ben.connect()
  await online(ben)
  const page = await (await browse(t)).newPage()
  page.on('pageerror', (error) => assert.fail(error))
  await page.goto(`${origin}/examples/plain/?server=${rollcall.base}&user=anna&conference=42`)
  await page.locator('li', { hasText: 'anna: online' }).waitFor()
  await rollcall.api('POST', '/notices', { to: { users: ['anna'] }, title: 'Lunch' })
  await page.locator('#unread', { hasText: '1' }).waitFor()
  assert.equal(await page.locator('#people').innerText(), 'ben: online\nanna: online')
  assert.equal(await page.locator('#state').innerText(), 'online')
})
