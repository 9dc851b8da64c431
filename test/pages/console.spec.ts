import type { Page } from '@playwright/test'
import { accessible, expect, fits, picture, rest, test } from './people.ts'
import { speaker } from './texts.ts'

/** Expects that a view is there, that nothing keeps people out of it, and takes its picture. */
async function look(page: Page, what: string, name: string): Promise<void> {
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(what)
  await accessible(page, what)
  await fits(page)
  if (!name.includes('-phone-') || name.includes('overview')) await picture(page, name)
}

test('the console', async ({ person, locale }, info) => {
  const t = speaker('admin', locale)
  const room = speaker('room', locale)
  const chinese = locale!.startsWith('zh')
  const conference = `console-${info.project.name}${info.repeatEachIndex || ''}`
  const shot = (name: string) => `admin-${name}-${info.project.name.split('-')[0]}-${chinese ? 'zh' : 'en'}`
  const title = chinese ? '设备例会' : 'Equipment meeting'
  const [anna, ben] = chinese ? ['王芳', '李强'] : ['Anna', 'Ben']
  await rest('PUT', `/conferences/${conference}`, { title })
  await rest('PUT', `/conferences/${conference}/members`, { members: [{ userId: `${conference}-anna`, name: anna, role: 'host' }, { userId: `${conference}-ben`, name: ben }] })
  await rest('PATCH', `/conferences/${conference}/tree`, { topicInfo: { title: chinese ? '新屏幕' : 'New screens', items: [1, 2] } })
  const guest = await person()
  await guest.goto(`/room?conferenceId=${conference}&userId=${conference}-anna&userName=${anna}`)
  await expect(guest.getByTestId('connection')).toContainText(room('connection.online'))
  const { id: notice } = await rest('POST', '/notices', { to: { conference }, title: chinese ? '茶歇' : 'Break', body: chinese ? '十分钟。' : 'Ten minutes.', senderId: 'office' })

  const admin = await person()
  await admin.goto('/admin')
  await expect(admin.getByRole('img', { name: t('overview.crowd') }).locator('canvas, svg').first()).toBeVisible()
  await look(admin, t('place.overview'), shot('overview'))

  // The log: a filter, a row, what became of it, and a new row as it happens.
  await admin.goto(`/admin#/notices?conferenceId=${conference}`)
  const row = admin.getByRole('row').filter({ hasText: 'office' })
  await expect(row).toHaveCount(1)
  await look(admin, t('place.notices'), shot('notices'))
  await rest('POST', '/notices', { to: { conference }, title: chinese ? '继续' : 'Go on', senderId: 'porter' })
  await expect(admin.getByRole('row').filter({ hasText: 'porter' })).toHaveCount(1)
  await row.getByRole('link').first().click()
  const drawer = admin.getByRole('dialog', { name: t('notices.detail'), exact: true })
  await expect(drawer).toContainText(`${conference}-ben`) // he is addressed, and it waits for him
  await expect(drawer).toContainText(t('state.queued'))
  await accessible(admin, 'a notice')
  if (!info.project.name.startsWith('phone')) await picture(admin, shot('notice'))
  await drawer.getByRole('button', { name: t('notices.recall') }).click()
  await admin.getByRole('dialog', { name: t('notices.recallTitle') }).getByRole('button', { name: t('notices.recall') }).click()
  await expect(drawer).toContainText(t('state.recalled'))
  expect((await rest('GET', `/notices/${notice}`)).state).toBe('recalled')
  await admin.keyboard.press('Escape')
  await expect(drawer).toBeHidden()

  // A conference: who is there, its tree, and a change that the room is shown.
  await admin.goto('/admin#/conferences')
  await expect(admin.getByRole('link', { name: conference, exact: true })).toBeVisible()
  await look(admin, t('place.conferences'), shot('conferences'))
  await admin.goto(`/admin#/conferences/${conference}`)
  await expect(admin.getByRole('row').filter({ hasText: anna })).toContainText(t('state.online'))
  await expect(admin.getByRole('row').filter({ hasText: ben })).toContainText(t('state.absent'))
  await look(admin, title, shot('conference'))
  await admin.getByRole('link', { name: t('conference.tree') }).click()
  await admin.getByRole('button', { name: t('tree.edit') }).click()
  await admin.getByLabel(t('tree.what')).selectOption('topicInfo')
  await admin.getByLabel('JSON').fill('{"title": "broken"')
  await expect(admin.getByRole('button', { name: t('tree.save') })).toBeDisabled()
  await admin.getByLabel('JSON').fill(JSON.stringify({ title: chinese ? '由管理员修改' : 'Changed by the administrator' }))
  await admin.getByRole('button', { name: t('tree.save') }).click()
  await expect(guest.getByTestId('topic')).toContainText(chinese ? '由管理员修改' : 'Changed by the administrator')
  await look(admin, title, shot('tree'))
  await admin.getByRole('link', { name: t('conference.versions') }).click()
  await expect(admin.getByText('topicInfo').first()).toBeVisible()
  await look(admin, title, shot('versions'))
  await admin.getByRole('link', { name: t('conference.control') }).click()
  await look(admin, title, shot('control'))

  // One person.
  await admin.goto('/admin#/people')
  await expect(admin.getByRole('link', { name: anna }).first()).toBeVisible()
  await look(admin, t('place.people'), shot('people'))
  await admin.goto(`/admin#/people/${conference}-anna?conferenceId=${conference}`)
  await expect(admin.getByText(t('moment.session_opened')).first()).toBeVisible()
  await look(admin, anna, shot('person'))

  await admin.goto(`/admin#/attendance/${conference}`)
  await expect(admin.getByRole('row').filter({ hasText: ben })).toContainText(t('attendance.never'))
  await look(admin, t('attendance.of', { id: conference }), shot('attendance'))
  await admin.goto('/admin#/webhooks')
  await look(admin, t('place.webhooks'), shot('webhooks'))
  await admin.goto('/admin#/nodes')
  await expect(admin.getByText(t('state.up')).first()).toBeVisible()
  await look(admin, t('place.nodes'), shot('nodes'))

  // She is sent out, and told so.
  await admin.goto(`/admin#/conferences/${conference}`)
  await admin.getByRole('row').filter({ hasText: anna }).getByRole('button', { name: t('kick.kick') }).click()
  await admin.getByRole('dialog').getByRole('button', { name: t('kick.kick') }).click()
  await expect(guest.getByTestId('banner')).toContainText(room('problem.kicked.title'))
  await expect(admin.getByRole('row').filter({ hasText: anna })).toContainText(t('state.absent'))
})
