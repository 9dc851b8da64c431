/** How many steps are kept while the whole is being read. */
const WAITING = 200
/** How often the whole is read in a row when it is older than what was already heard of. */
const READINGS = 5

export interface ReplicaRules<Whole, Step> {
  version(whole: Whole): number
  /** The version that a step leads to. */
  target(step: Step): number
  /** Makes the new value from a whole one that came. */
  take(old: Whole | null, whole: Whole): Whole
  /** Makes the new value from a step, or null if the step does not follow on the old one. */
  apply(old: Whole, step: Step): Whole | null
  /** Asks the server for the whole. */
  read(): Promise<Whole>
  /** Is told of every change. */
  changed(value: Whole | null): void
}

/**
 * A copy of something that lives on the server and has a version. It comes whole or in steps. Its version never goes back; what is missing for a step is
 * found by reading the whole again, with the steps that come meanwhile applied after it.
 */
export class Replica<Whole, Step> {
  private waiting: Step[] = []
  private wanted = -1
  private reading = false
  /** Counts the resets: what was asked for before one is not for after it. */
  private life = 0
  private behind = 0

  constructor(
    private value: Whole | null,
    private readonly rules: ReplicaRules<Whole, Step>,
  ) {}

  /** What is held belongs to another place, or to none. */
  reset(): void {
    this.life++
    this.waiting = []
    this.wanted = -1
    this.reading = false
    this.behind = 0
    this.set(null)
  }

  /** What is still to come changes nothing any more. */
  stop(): void {
    this.life++
  }

  whole(whole: Whole): void {
    if (this.rules.version(whole) >= this.version()) this.set(this.rules.take(this.value, whole))
  }

  step(step: Step): void {
    this.wanted = Math.max(this.wanted, this.rules.target(step))
    if (this.tryStep(step)) return
    if (this.waiting.length < WAITING) this.waiting.push(step)
    void this.heal()
  }

  /** The server has this version: whatever led to it was lost if it is still not here after a while. */
  hint(version: number, patience: number): void {
    // Versions only rise, but for a database that was restored from a backup. One older answer may come from a server that is late.
    this.behind = version < this.version() ? this.behind + 1 : 0
    if (this.behind >= 3) return this.reset(), void this.heal()
    if (this.value !== null && version <= this.version()) return
    const life = this.life
    setTimeout(() => {
      if (life === this.life && (this.value === null || version > this.version())) void this.heal()
    }, patience)
  }

  /** Reads the whole. What fails is tried again at the next hint or gap. */
  async heal(): Promise<void> {
    if (this.reading) return
    this.reading = true
    const life = this.life
    try {
      for (let reading = 0; reading < READINGS; reading++) {
        if (reading > 0) await new Promise((done) => setTimeout(done, reading * 200))
        const whole = await this.rules.read()
        if (life !== this.life) return
        this.whole(whole)
        this.replay()
        if (this.version() >= this.wanted) return
      }
    } catch {
      // Nobody could be asked. The next connection, or the next hint, begins anew.
    } finally {
      if (life === this.life) this.reading = false
    }
  }

  private version(): number {
    return this.value === null ? -1 : this.rules.version(this.value)
  }

  /** Reports whether the step is done with. */
  private tryStep(step: Step): boolean {
    if (this.value === null) return false
    if (this.rules.target(step) <= this.version()) return true
    const next = this.rules.apply(this.value, step)
    if (next === null) return false
    this.set(next)
    return true
  }

  private replay(): void {
    const steps = this.waiting
    this.waiting = []
    for (const step of steps) if (!this.tryStep(step)) this.waiting.push(step)
  }

  private set(value: Whole | null): void {
    if (value === this.value) return
    this.value = value
    this.rules.changed(value)
  }
}
