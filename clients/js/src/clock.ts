import type { Store } from './store.js'

/** How much another clock must differ to be worth a change of the snapshot. */
const STEP_MS = 10
/** A measure is good for so long; then a worse one takes its place, as clocks drift. */
const GOOD_MS = 5 * 60_000

/** Knows what time it is on the server. */
export class Clock {
  private error = Infinity
  private at = 0

  constructor(
    private readonly store: Store,
    private readonly changed: () => void,
  ) {}

  now(): number {
    return Date.now() + this.store.snapshot.clockOffset
  }

  /** Takes a first idea: how long it was on its way is not known. */
  guess(serverTime: number): void {
    if (this.at === 0) this.take(serverTime - Date.now())
  }

  /** Takes a measure: the server said its time between `sent` and now. The shorter that was the better is the measure. */
  measure(serverTime: number, sent: number): void {
    const now = Date.now()
    const error = (now - sent) / 2
    if (error > this.error && now - this.at < GOOD_MS) return
    this.error = error
    this.at = now
    this.take(serverTime + error - now)
  }

  private take(offset: number): void {
    const clockOffset = Math.round(offset)
    if (Math.abs(clockOffset - this.store.snapshot.clockOffset) < STEP_MS) return
    this.store.set({ clockOffset })
    this.changed()
  }
}
