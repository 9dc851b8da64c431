import { accessible, expect, test } from './people.ts'
import { speaker } from './texts.ts'

const room = speaker('room', 'en')
const admin = speaker('admin', 'en')

test('a link with a token leads into the room', async ({ person }) => {
  const page = await person()
  await page.goto('/room?conferenceId=42')
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(room('token.title'))
  await accessible(page, 'a door that needs a link')

  await page.goto(`/room?conferenceId=42#token=${process.env.ROLLCALL_TEST_TOKEN}`)
  await expect(page.getByTestId('connection')).toContainText(room('connection.online'))
  await expect(page.getByTestId('person')).toContainText('Anna')
  expect(page.url(), 'the token stays in the address').not.toContain('token')
  await page.reload()
  await expect(page.getByTestId('connection')).toContainText(room('connection.online'))

  const elsewhere = await person()
  await elsewhere.goto(`/room?conferenceId=43#token=${process.env.ROLLCALL_TEST_TOKEN}`)
  await expect(elsewhere.getByRole('alert')).toContainText(room('problem.forbidden.title'))
})

test('a key leads into the console, as far as its role goes', async ({ person, withoutLink }) => {
  const inside = await person()
  await inside.goto(`/room?conferenceId=42#token=${process.env.ROLLCALL_TEST_TOKEN}`)
  await expect(inside.getByTestId('connection')).toContainText(room('connection.online'))

  const page = await person()
  const key = page.getByLabel(admin('login.key'))
  await withoutLink(async () => { // browsers write on the console that a request was answered 401
    await page.goto('/admin#/conferences/42')
    await key.fill('not a key')
    await page.getByRole('button', { name: admin('login.enter') }).click()
    await expect(page.getByText(admin('problem.wrong_key'))).toBeVisible()
  })
  await accessible(page, 'the login')
  await key.fill(process.env.ROLLCALL_TEST_KEY!)
  await page.getByRole('button', { name: admin('login.enter') }).click()
  await expect(page.getByRole('row').filter({ hasText: 'Anna' })).toContainText(admin('state.online'))
  await expect(page.getByRole('button', { name: admin('kick.kick') })).toHaveCount(0) // a viewer only looks
  await page.getByRole('link', { name: admin('conference.tree') }).click()
  await expect(page.getByText(admin('needs.backend'))).toBeVisible()
  await page.getByRole('button', { name: admin('login.leave') }).click()
  await expect(key).toBeVisible()
})
