/** Returns a generator of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The seed of the tests of this run: ROLLCALL_TEST_SEED repeats one. */
export const seed = Number(process.env.ROLLCALL_TEST_SEED ?? Date.now() % 2 ** 31)
