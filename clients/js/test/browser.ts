import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { chromium, type BrowserContext } from 'playwright-core'

const flags = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** Starts a real Chromium that ends with the test. */
export async function browse(t: TestContext): Promise<BrowserContext> {
  const browser = await chromium.launch({ executablePath: process.env.ROLLCALL_TEST_CHROMIUM ?? '/usr/bin/chromium', args: flags })
  t.after(() => browser.close())
  return browser.newContext()
}

/** Serves pages until the test ends, and returns their origin. */
export async function serve(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.after(() => void (server.close(), server.closeAllConnections()))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
