import { spawn, type ChildProcess } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import type { Meeting, MeetingOptions, Snapshot } from '../src/index.js'
import { createMeeting } from '../src/index.js'

/** How long a test waits for anything. */
const PATIENCE_MS = 25_000

const running = new Set<ChildProcess>()
process.on('exit', () => running.forEach((server) => server.kill('SIGKILL')))

export const secret = 'a secret of tests that is long enough for HS256'

/** Keys of the configuration by their sections. */
export type Settings = { [section: string]: { [key: string]: unknown } }

/** A real server, the one that ROLLCALL_TEST_SERVER names, on SQLite in a folder of its own. */
export class Rollcall {
  /** http://127.0.0.1:port */
  base = ''
  private log = ''
  private process: ChildProcess | undefined
  private ended: Promise<number | null> = Promise.resolve(null)

  private constructor(private readonly dir: string) {}

  static async start(t: TestContext, settings: Settings = {}): Promise<Rollcall> {
    const dir = mkdtempSync(join(tmpdir(), 'rollcall-sdk-'))
    const config = { ...settings, http: { addr: '127.0.0.1:0', ...settings.http }, database: { dsn: join(dir, 'rollcall.db') } }
    writeFileSync(join(dir, 'config.yaml'), JSON.stringify(config)) // JSON is YAML
    const rollcall = new Rollcall(dir)
    t.after(async () => {
      await rollcall.kill()
      rmSync(dir, { recursive: true })
    })
    await rollcall.run()
    return rollcall
  }

  /** Starts it again where it was. */
  async again(): Promise<void> {
    await this.run({ ROLLCALL_HTTP_ADDR: this.base.slice('http://'.length) })
  }

  private async run(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const path = process.env.ROLLCALL_TEST_SERVER
    if (!path) throw new Error('ROLLCALL_TEST_SERVER must name the program of the server: run go test ./test/sdk')
    const server = spawn(path, { cwd: this.dir, env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] })
    this.process = server
    running.add(server)
    this.ended = new Promise((done) => server.once('exit', (code) => (running.delete(server), done(code))))
    const open = new Promise<string>((done) => {
      createInterface({ input: server.stderr }).on('line', (line) => {
        this.log += `${line}\n`
        const [, base] = /rollcall is open.* ready=(http:\/\/[^ /]+)\/readyz/.exec(line) ?? []
        if (base) done(base)
      })
    })
    const failed = this.ended.then((code) => Promise.reject(new Error(`the server ended with ${code}:\n${this.log}`)))
    failed.catch(() => {})
    this.base = await within(Promise.race([open, failed]), 'the server to open')
  }

  /** SIGTERM: a planned stop. */
  stop(): void {
    this.process?.kill('SIGTERM')
  }

  /** Waits for the end of a planned stop, and returns the exit code. */
  gone(): Promise<number | null> {
    return within(this.ended, 'the server to end')
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.process?.kill('SIGKILL')
    await this.ended
  }

  /** Calls the API, and fails if it does not succeed. */
  async api<T = unknown>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
    const headers = { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) }
    const answer = await fetch(`${this.base}/api/v1${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status} ${text}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  /** Makes a meeting that ends with the test. */
  meeting(t: TestContext, options: MeetingOptions): Meeting {
    const meeting = createMeeting({ url: this.base, ...options })
    t.after(() => meeting.close())
    return meeting
  }
}

/** Fails if the promise takes too long. */
export function within<T>(promise: Promise<T>, what: string, ms = PATIENCE_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Asks again and again until the answer is the wanted one. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((done) => setTimeout(done, 20))
  }
}

/** Waits until something holds of the snapshot, and returns that snapshot. It looks whenever the snapshot changes. */
export async function until(meeting: Meeting, what: string, holds: (snapshot: Snapshot) => unknown): Promise<Snapshot> {
  let off = () => {}
  const held = new Promise<Snapshot>((done) => {
    const look = (snapshot: Snapshot) => void (holds(snapshot) && done(snapshot))
    off = meeting.on('change', look)
    look(meeting.snapshot)
  })
  try {
    return await within(held, what)
  } catch (error) {
    throw new Error(`${String(error)}; the last snapshot is ${JSON.stringify(meeting.snapshot)}`)
  } finally {
    off()
  }
}

/** Waits for a promise, which is in vain when the connection ends for good. */
export async function unlessEnded<T>(meeting: Meeting, promise: Promise<T>, what: string): Promise<T> {
  let off = () => {}
  const ended = new Promise<never>((_, reject) => {
    off = meeting.on('change', ({ connection: { state, problem } }) => {
      if (state === 'ended') reject(new Error(`the connection ended before ${what}: ${problem?.code}`))
    })
  })
  return within(Promise.race([promise, ended]), what).finally(off)
}

export const online = (meeting: Meeting) => until(meeting, 'online', ({ connection, tree, roster, self }) => connection.state === 'online' && self && tree && roster)

/** Signs a token for a user, good for so many milliseconds. */
export function token(userId: string, ms: number, claims: object = { conferences: '*' }): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: userId, exp: (Date.now() + ms) / 1000, ...claims })}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}
