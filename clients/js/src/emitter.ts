/** Calls listeners, each of them also when another one throws. */
export class Emitter<Events extends { [K in keyof Events]: (...args: never[]) => void }> {
  private readonly listeners = new Map<keyof Events, Set<(...args: never[]) => void>>()

  /** Returns what takes the listener off again. The same function may listen several times. */
  on<E extends keyof Events>(event: E, listener: Events[E]): () => void {
    const own = (...args: never[]) => listener(...args)
    const set = this.listeners.get(event) ?? new Set()
    this.listeners.set(event, set.add(own))
    return () => void set.delete(own)
  }

  emit<E extends keyof Events>(event: E, ...args: Parameters<Events[E]>): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) {
      try {
        listener(...(args as never[]))
      } catch (error) {
        // The page hears of it as of every other uncaught error, and the line goes on.
        setTimeout(() => {
          throw error
        })
      }
    }
  }

  clear(): void {
    this.listeners.clear()
  }
}
