import type { MeetingOptions } from './types.js'

/** How long somebody who makes tokens may take. */
const TOKEN_MS = 10_000
/** A token is renewed when a third of its life is left, at most this long before its end. */
const LEAD_MS = 5 * 60_000
/** The least and the largest pause after a failure. */
const RETRY_MS = { least: 1000, most: 30_000 }
/** setTimeout cannot wait for more than 24 days. */
const LONGEST_MS = 24 * 60 * 60_000

/** Returns `exp` of a JWT in milliseconds, without verifying anything: null if it has none, or is no JWT. */
export function tokenExpiry(token: string): number | null {
  try {
    const payload = token.split('.')[1] ?? ''
    const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1000 : null
  } catch {
    return null
  }
}

/** Asks for a token, for ten seconds. */
export async function freshToken(token: NonNullable<MeetingOptions['token']>): Promise<string> {
  if (typeof token === 'string') return token
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no token within ten seconds')), TOKEN_MS)
  })
  const fresh = (async () => token())() // what it throws is thrown by the promise
  return Promise.race([fresh, late]).finally(() => clearTimeout(timer))
}

/** Gives a connection a fresh token well before the one that it has expires. */
export class Reauth {
  private timer: ReturnType<typeof setTimeout> | undefined
  private expiresAt: number | null = null
  /** Counts the connections: what was asked for one is not for the next. */
  private turn = 0

  constructor(
    private readonly token: () => Promise<string>,
    /** Sends a token, and returns when it expires by the server's clock: null if never. */
    private readonly send: (token: string) => Promise<number | null>,
    /** The time by the server's clock. */
    private readonly now: () => number,
  ) {}

  /** A connection was made with this token. */
  start(token: string): void {
    this.stop()
    this.expiresAt = tokenExpiry(token)
    if (this.expiresAt === null) void this.renew(() => Promise.resolve(token)) // only the server knows when it expires
    else this.plan()
  }

  stop(): void {
    this.turn++
    this.expiresAt = null
    clearTimeout(this.timer)
  }

  /** The server's clock is another than it was thought to be. */
  clockChanged(): void {
    if (this.expiresAt !== null) this.plan()
  }

  private plan(): void {
    const left = (this.expiresAt ?? 0) - this.now()
    this.wait(Math.max(left - LEAD_MS, (left * 2) / 3) * (0.9 + Math.random() / 10))
  }

  private wait(ms: number): void {
    clearTimeout(this.timer)
    const due = ms <= LONGEST_MS
    this.timer = setTimeout(() => (due ? void this.renew(this.token) : this.plan()), Math.max(RETRY_MS.least, Math.min(ms, LONGEST_MS)))
  }

  private async renew(get: () => Promise<string>): Promise<void> {
    const turn = this.turn
    try {
      const expiresAt = await this.send(await get())
      if (turn !== this.turn) return
      this.expiresAt = expiresAt
      if (expiresAt !== null) this.plan()
    } catch {
      // The connection stays until the old token ends: try again until then.
      if (turn !== this.turn) return
      const left = (this.expiresAt ?? 0) - this.now()
      this.wait(Math.min(Math.max(left / 4, RETRY_MS.least), RETRY_MS.most))
    }
  }
}
