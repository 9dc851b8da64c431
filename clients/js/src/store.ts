import { emptyInbox } from './inbox.js'
import type { Snapshot } from './types.js'

export function firstSnapshot(): Snapshot {
  return { connection: { state: 'idle', since: Date.now() }, self: null, tree: null, roster: null, inbox: emptyInbox, clockOffset: 0 }
}

/** Holds the snapshot, and says once for all that happens at a time that it is another. */
export class Store {
  private changing = false

  constructor(
    public snapshot: Snapshot,
    private readonly changed: (snapshot: Snapshot) => void,
  ) {}

  set(part: Partial<Snapshot>): void {
    this.snapshot = { ...this.snapshot, ...part }
    if (this.changing) return
    this.changing = true
    queueMicrotask(() => this.flush())
  }

  /** Says it now. */
  flush(): void {
    if (!this.changing) return
    this.changing = false
    this.changed(this.snapshot)
  }
}
