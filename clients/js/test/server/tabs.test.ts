import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import type { Going } from '../../src/index.js'
import { browse, serve } from '../browser.js'
import { LossyProxy } from '../lossy.js'
import { eventually, online, Rollcall, until } from '../rollcall.js'

/** What runs in each tab: a meeting, what it heard, and a way to wait for it. */
const script = `
  const heard = []
  const states = []
  let meeting
  function enter(url) {
    meeting = rollcall.createMeeting({ url, userId: 'anna', conferenceId: '42', shared: true })
    for (const event of ['notice', 'chat']) meeting.on(event, ({ id }) => heard.push(id))
    meeting.on('change', ({ connection: { state } }) => { if (states.at(-1) !== state) states.push(state) })
    meeting.connect()
  }
  function until(holds) {
    return new Promise((done) => {
      const look = () => holds(meeting.snapshot) && done(true)
      for (const event of ['change', 'notice', 'chat']) meeting.on(event, look)
      look()
    })
  }
`

/** Makes a page with the SDK in it. */
async function page(): Promise<string> {
  const entry = fileURLToPath(new URL('../../../src/index.ts', import.meta.url))
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: 'iife', globalName: 'rollcall', write: false })
  return `<!doctype html><title>tab</title><script>${outputFiles[0]?.text.replaceAll('</script', '<\\/script')}</script><script>${script}</script>`
}

/** Waits in a tab until something holds there of the snapshot s. */
const holds = (page: Page, what: string) => page.evaluate(`until((s) => ${what})`)
const heard = async (page: Page) => (await page.evaluate('heard')) as string[]

test('five tabs have one socket, and keep it when the tab that had it goes', async (t) => {
  const html = await page()
  const origin = await serve(t, (_, response) => response.setHeader('content-type', 'text/html; charset=utf-8').end(html))
  const rollcall = await Rollcall.start(t, { http: { allowed_origins: [origin] }, presence: { debounce: '10ms' } })
  const proxy = await LossyProxy.start(t, rollcall.base)
  const context = await browse(t)
  const tabs: Page[] = []
  for (let i = 0; i < 5; i++) {
    const page = await context.newPage()
    page.on('pageerror', (error) => assert.fail(error))
    await page.goto(origin)
    await page.evaluate(`enter(${JSON.stringify(proxy.base)})`)
    if (i === 0) await holds(page, "s.connection.state === 'online'") // it leads
    tabs.push(page)
  }
  const [leader, second, third] = tabs as [Page, Page, Page]
  const all = (what: string, pages = tabs) => Promise.all(pages.map((page) => holds(page, what)))
  const sockets = async () => (await rollcall.api<{ sockets: number }>('GET', '/presence/summary')).sockets
  const say = async (notice: object) => (await rollcall.api<{ id: string }>('POST', '/notices', { to: { users: ['anna'] }, ...notice })).id
  const arrives = (id: string, pages: Page[]) => Promise.all(pages.map((page) => holds(page, `heard.includes('${id}')`)))

  await all("s.connection.state === 'online' && s.tree && s.roster?.online === 1")
  assert.equal(await sockets(), 1)
  const ben = rollcall.meeting(t, { userId: 'ben', conferenceId: '42' })
  const left: Going[] = []
  ben.on('left', (who) => left.push(who))
  ben.connect()
  await online(ben)

  await rollcall.api('PATCH', '/conferences/42/tree', { topicInfo: { title: 'Budget' } })
  await all("s.tree.topicInfo?.title === 'Budget' && s.roster.online === 2")
  const trees = await Promise.all(tabs.map((page) => page.evaluate('meeting.snapshot.tree')))
  for (const tree of trees) assert.deepEqual(tree, trees[0])

  const strict = await say({ title: 'Evacuate', requireAck: true })
  await arrives(strict, tabs)
  await all('s.inbox.unread.total === 1')
  const { id: said } = (await third.evaluate("meeting.chat('from a tab without a socket')")) as { id: string }
  await arrives(said, tabs)
  const refusal = await third.evaluate("meeting.direct('', 1).catch(({ name, code }) => ({ name, code }))")
  assert.deepEqual(refusal, { name: 'RollcallError', code: 'bad_payload' })

  // The tab with the socket is closed while calls of others are on their way.
  proxy.mute = true
  for (const page of [second, third]) await page.evaluate('void (window.call = meeting.chatHistory().catch(({ code }) => code))')
  await eventually('the calls to be on their way', () => Promise.resolve(proxy.asked.get('chat_history') === 2))
  await leader.close()
  proxy.mute = false
  const rest = tabs.slice(1)
  for (const page of [second, third]) assert.equal(await page.evaluate('window.call'), 'offline')
  await all("states.filter((state) => state === 'online').length === 2 && s.connection.state === 'online'", rest)
  await eventually('one socket beside that of ben', async () => (await sockets()) === 2)
  await rollcall.api('PATCH', '/conferences/42/tree', { topicInfo: { title: 'Vote' } })
  await all("s.tree.topicInfo.title === 'Vote'", rest)
  const late = await say({ title: 'Lunch' })
  await arrives(late, rest)
  for (const page of rest) {
    const ids = await heard(page)
    for (const id of [strict, late, said]) assert.equal(ids.filter((other) => other === id).length, 1, `${id} in ${ids.join()}`)
    assert.deepEqual(await page.evaluate('states'), ['connecting', 'online', 'reconnecting', 'online'])
  }

  // A page that closes its meeting gives the socket up too; nobody has left as long as one is there.
  await second.evaluate('meeting.close()')
  assert.equal(await second.evaluate('meeting.snapshot.connection.state'), 'closed')
  await all("states.filter((state) => state === 'online').length === 3 && s.connection.state === 'online'", rest.slice(1))
  await eventually('one socket beside that of ben', async () => (await sockets()) === 2)
  await third.evaluate("meeting.acknowledge(meeting.snapshot.inbox.items.map((item) => item.id))")
  await all('s.inbox.items.every((item) => item.acknowledged)', rest.slice(1))
  for (const page of rest.slice(1).reverse()) await page.evaluate('meeting.close()') // the one with the socket last
  await until(ben, 'the last tab to leave', ({ roster }) => roster?.users.length === 1)
  await eventually('the news that anna left', () => Promise.resolve(left.length > 0))
  assert.deepEqual(left.map(({ userId, reason }) => ({ userId, reason })), [{ userId: 'anna', reason: 'left' }])
})

test('where tabs cannot share each has a socket of its own', async (t) => {
  const rollcall = await Rollcall.start(t)
  const [one, other] = [1, 2].map(() => rollcall.meeting(t, { userId: 'anna', conferenceId: '42', shared: true })) as [ReturnType<Rollcall['meeting']>, ReturnType<Rollcall['meeting']>]
  for (const meeting of [one, other]) {
    meeting.connect()
    await online(meeting)
  }
  assert.notEqual(one.snapshot.self?.sessionId, other.snapshot.self?.sessionId)
})
