import type { Locator, Page } from '@playwright/test'
import { accessible, expect, fits, picture, rest, test } from './people.ts'
import { Line } from './proxy.ts'
import { speaker } from './texts.ts'

/** One person in /room, and what of it can be seen. */
class Guest {
  readonly roster: Locator
  readonly connection: Locator
  readonly messages: Locator
  readonly notices: Locator

  constructor(readonly page: Page, readonly t: ReturnType<typeof speaker>) {
    this.roster = page.getByTestId('person')
    this.connection = page.getByTestId('connection')
    this.messages = page.getByTestId('message')
    this.notices = page.getByTestId('notice')
  }

  person(name: string): Locator {
    return this.roster.filter({ hasText: name })
  }

  /** Enters by the door, as one who was invited does. */
  async enter(name: string): Promise<void> {
    await this.page.getByLabel(this.t('arrive.name')).fill(name)
    await this.page.getByRole('button', { name: this.t('arrive.enter') }).click()
    await expect(this.connection).toContainText(this.t('connection.online'))
  }

  /** Opens a part of the room. Where there is place for it, it is open already. */
  async open(part: 'meeting' | 'people' | 'chat' | 'notices' | 'events'): Promise<void> {
    const tab = this.page.getByRole('tab', { name: this.t(`tab.${part}`) })
    if (await tab.count()) await tab.click()
  }

  async online(n: number): Promise<void> {
    await expect(this.page.getByRole('banner')).toContainText(this.t('onlineNumber', { n }))
  }

  async say(words: string): Promise<void> {
    await this.open('chat')
    await this.page.getByLabel(this.t('chat.say')).fill(words)
    await this.page.getByRole('button', { name: this.t('chat.send') }).click()
  }
}

test('a meeting', async ({ person, withoutLink, baseURL, locale }, info) => {
  const t = speaker('room', locale)
  const conference = `budget-${info.project.name}${info.repeatEachIndex || ''}`
  const chinese = locale!.startsWith('zh')
  const shot = (name: string) => `${name}-${info.project.name.split('-')[0]}-${chinese ? 'zh' : 'en'}`
  const names = chinese ? { anna: '王芳', ben: '李强', cleo: '陈静', dan: '赵敏' } : { anna: 'Anna', ben: 'Ben', cleo: 'Cleo', dan: 'Dan' }
  await rest('PUT', `/conferences/${conference}`, { title: chinese ? '预算评审' : 'Budget review' })
  await rest('PUT', `/conferences/${conference}/members`, {
    members: [
      { userId: 'cleo', name: names.cleo, role: 'host' },
      { userId: 'dan', name: names.dan, excused: true },
    ],
  })
  await rest('PATCH', `/conferences/${conference}/tree`, {
    conferenceInfo: { title: chinese ? '预算评审' : 'Budget review' },
    topicInfo: { title: chinese ? '第三项：设备' : 'Item 3: equipment', content: chinese ? '会议室的新屏幕。' : 'New screens for the meeting rooms.' },
    countersignData: { agree: 3, against: 1 },
  })

  // The door, with a name that somebody types.
  const anna = new Guest(await person(), t)
  await anna.page.goto(`/room?conferenceId=${conference}`)
  await expect(anna.page.getByRole('button', { name: t('arrive.enter') })).toBeEnabled()
  await accessible(anna.page, 'the door')
  await fits(anna.page)
  await picture(anna.page, shot('door'))
  await anna.enter(names.anna)
  await anna.online(1)

  // The second one comes by a line that will be cut.
  const line = await Line.to(baseURL!)
  const ben = new Guest(await person(line.url), t)
  await ben.page.goto(`/room?conferenceId=${conference}`)
  await ben.enter(names.ben)
  for (const guest of [anna, ben]) {
    await guest.online(2)
    await guest.open('people')
    await expect(guest.person(names.anna)).toContainText(t('presence.online'))
    await expect(guest.person(names.ben)).toContainText(t('presence.online'))
    await expect(guest.person(names.cleo)).toContainText(t('presence.absent'))
    await expect(guest.person(names.dan)).toContainText(t('presence.excused'))
    await expect(guest.roster.first()).toContainText(names.cleo) // the members list comes first, in its order
  }

  // An administrator watches all of it.
  const a = speaker('admin', locale)
  const admin = await person()
  await admin.goto(`/admin#/conferences/${conference}`)
  const watched = (name: string) => admin.getByRole('row').filter({ hasText: name })
  for (const name of [names.anna, names.ben]) await expect(watched(name)).toContainText(a('state.online'))
  await accessible(anna.page, 'the participants')
  await fits(anna.page)

  // A timer that is the same everywhere.
  await rest('POST', `/conferences/${conference}/timer`, { action: 'start', durationMs: 90_000 })
  const digits = async (guest: Guest) => {
    await guest.open('meeting')
    const timer = guest.page.getByTestId('timer').getByRole('timer')
    await expect(timer).toHaveText(/1:\d\d/)
    return timer
  }
  const [hers, his] = [await digits(anna), await digits(ben)]
  const seconds = (text: string) => text.trim().split(':').reduce((sum, part) => 60 * sum + Number(part), 0)
  await expect(async () => {
    const [a, b] = await Promise.all([hers.innerText(), his.innerText()])
    expect(Math.abs(seconds(a) - seconds(b))).toBeLessThanOrEqual(1)
    const tree = await rest('GET', `/conferences/${conference}/tree`)
    expect(Math.abs((tree.timer.endsAt - tree.serverTime) / 1000 - seconds(a))).toBeLessThanOrEqual(2)
  }).toPass({ timeout: 10_000 })

  // Sign-in.
  await anna.page.getByTestId('sign-in').getByRole('button', { name: t('signIn.button') }).click()
  await ben.page.getByTestId('sign-in').getByText(names.anna).waitFor()
  await expect(anna.page.getByTestId('sign-in').getByRole('button', { name: t('signIn.button') })).toHaveCount(0)
  await expect(anna.page.getByTestId('sign-in')).toContainText(names.anna)

  // A notice that wants to be acknowledged, and one that does not.
  const people = await rest('GET', `/conferences/${conference}/presence`)
  const id = (name: string) => people.users.find((u: { userName: string }) => u.userName === name).userId as string
  const lunch = await rest('POST', '/notices', {
    to: { users: [id(names.anna)] }, category: 'remind', requireAck: true, title: chinese ? '请确认出席' : 'Please confirm',
    body: chinese ? '晚上六点聚餐。' : 'Dinner is at six.', senderId: 'cleo', conferenceId: conference,
  })
  const dialog = anna.page.getByRole('dialog')
  await expect(dialog).toContainText(chinese ? '晚上六点聚餐。' : 'Dinner is at six.')
  await accessible(anna.page, 'a notice to acknowledge')
  await picture(anna.page, shot('acknowledge'))
  await dialog.getByRole('button', { name: t('ack.button') }).click()
  await expect(dialog).toBeHidden()
  await expect(async () => {
    expect((await rest('GET', `/notices/${lunch.id}`)).acked).toBe(1)
  }).toPass({ timeout: 10_000 })
  await rest('POST', '/notices', { to: { users: [id(names.anna), id(names.ben)] }, category: 'announcement', title: chinese ? '茶歇' : 'Break', body: chinese ? '十分钟。' : 'Ten minutes.' })
  for (const guest of [anna, ben]) {
    await expect(guest.page.getByRole('tab', { name: t('tab.notices') })).toContainText('1')
    await guest.open('notices')
    await expect(guest.notices.filter({ hasText: chinese ? '茶歇' : 'Break' })).toHaveCount(1)
  }
  await accessible(anna.page, 'the notices')
  await fits(anna.page)
  await picture(anna.page, shot('notices'))
  await anna.page.getByRole('button', { name: t('inbox.readAll') }).click()
  await expect(anna.page.getByRole('tab', { name: t('tab.notices') })).not.toContainText('1')

  // Chat, in both directions.
  const [hello, back] = chinese ? ['大家好！', '你好，王芳。'] : ['Hello everybody!', 'Hello Anna.']
  await anna.say(hello)
  await ben.open('chat')
  await expect(ben.messages.filter({ hasText: hello })).toHaveCount(1)
  await ben.say(back)
  await expect(anna.messages.filter({ hasText: back })).toHaveCount(1)
  await expect(anna.messages).toHaveCount(2)
  await accessible(anna.page, 'the chat')
  await fits(anna.page)
  await picture(anna.page, shot('room'))

  // His line is lost: both are told the truth, and he comes back by himself.
  await withoutLink(async () => {
    line.cut()
    await expect(ben.connection).toContainText(t('connection.reconnecting'))
    await expect(ben.page.getByTestId('banner')).toBeVisible()
    await anna.open('people')
    await expect(anna.person(names.ben)).toContainText(t('presence.reconnecting'))
    await anna.online(2) // within the grace nobody is gone
    await expect(watched(names.ben)).toContainText(a('state.reconnecting'))
    await accessible(ben.page, 'a lost connection')
    await fits(ben.page)
    await picture(ben.page, shot('reconnecting'))
    line.join()
    await expect(ben.connection).toContainText(t('connection.online'), { timeout: 20_000 })
  })
  await expect(anna.person(names.ben)).toContainText(t('presence.online'))
  await ben.open('chat')
  await expect(ben.messages).toHaveCount(2) // nothing is there twice

  // The page as it is remembered: reloading is the same person again.
  await ben.page.reload()
  await expect(ben.connection).toContainText(t('connection.online'))
  await ben.online(2)

  // Leaving.
  await ben.page.getByRole('button', { name: t('leave') }).click()
  await expect(ben.page.getByRole('heading', { name: t('left.title') })).toBeVisible()
  await anna.online(1)
  await expect(anna.person(names.ben)).toHaveCount(0)
  await expect(watched(names.ben)).toHaveCount(0)
  await anna.open('chat')
  await expect(anna.page.getByTestId('chat')).toContainText(t('chat.went.left', { name: names.ben }))

  // The end.
  await rest('PUT', `/conferences/${conference}`, { ended: true })
  await expect(anna.page.getByTestId('banner')).toContainText(t('banner.overText'))
  await accessible(anna.page, 'the end')
  await expect(admin.getByText(a('state.ended'), { exact: true })).toBeVisible()
  line.close()
})

test('the language is remembered', async ({ person, locale }) => {
  const other = locale!.startsWith('zh') ? 'en' : 'zh-CN'
  const page = await person()
  await page.goto('/room')
  await page.getByRole('combobox', { name: 'Language / 语言' }).selectOption(other)
  await expect(page.getByRole('button', { name: speaker('room', other)('arrive.enter') })).toBeVisible()
  await page.reload()
  await expect(page.getByRole('button', { name: speaker('room', other)('arrive.enter') })).toBeVisible()
  expect(await page.evaluate(() => document.documentElement.lang)).toBe(other)
})
