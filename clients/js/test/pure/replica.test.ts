import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Replica } from '../../src/replica.js'
import { generator, seed } from '../random.js'

interface Whole { version: number; sum: number }
interface Step { from: number; to: number; add: number }

/** A server that counts, and a replica of its sum. */
class Counter {
  now: Whole = { version: 0, sum: 0 }
  reads = 0
  /** What the next read answers; the newest if it is not set. */
  answer: (() => Promise<Whole>) | undefined
  readonly shown: (Whole | null)[] = []
  readonly replica = new Replica<Whole, Step>(null, {
    version: (whole) => whole.version,
    target: (step) => step.to,
    take: (_, whole) => whole,
    apply: (old, step) => (step.from === old.version ? { version: step.to, sum: old.sum + step.add } : null),
    read: () => {
      this.reads++
      return this.answer ? this.answer() : Promise.resolve(this.now)
    },
    changed: (whole) => this.shown.push(whole),
  })

  get value(): Whole | null {
    return this.shown.at(-1) ?? null
  }

  get version(): number {
    return this.value?.version ?? -1
  }

  add(n: number): Step {
    const from = this.now.version
    this.now = { version: from + 1, sum: this.now.sum + n }
    return { from, to: from + 1, add: n }
  }
}

const settled = () => new Promise((done) => setTimeout(done))

/** Waits for a version, as long as the test may take. */
async function arrives(c: Counter, version: number): Promise<void> {
  while (c.version !== version) await settled()
}

test('steps are applied in order, older ones ignored, and a gap is read', async () => {
  const c = new Counter()
  c.replica.whole(c.now)
  const [one, two, three] = [c.add(1), c.add(10), c.add(100)]
  c.replica.step(one)
  assert.deepEqual(c.value, { version: 1, sum: 1 })
  c.replica.step(one)
  assert.equal(c.shown.length, 2)
  c.replica.step(three)
  assert.deepEqual(c.value, { version: 1, sum: 1 }, 'a step that does not follow is not applied')
  await settled()
  assert.deepEqual(c.value, { version: 3, sum: 111 })
  c.replica.step(two)
  c.replica.whole({ version: 2, sum: 11 })
  assert.deepEqual(c.value, { version: 3, sum: 111 }, 'it never goes back')
  assert.equal(c.reads, 1)
})

test('steps that come while the whole is read are applied after it', async () => {
  const c = new Counter()
  c.replica.whole(c.now)
  c.add(1)
  const two = c.add(10)
  const old = c.now
  let give: (whole: Whole) => void = () => {}
  c.answer = () => new Promise((done) => (give = done))
  c.replica.step(two)
  const [three, four] = [c.add(100), c.add(1000)]
  c.replica.step(three)
  c.replica.step(four)
  give(old)
  await settled()
  assert.deepEqual(c.value, { version: 4, sum: 1111 })
  assert.equal(c.reads, 1)
})

test('a whole that is older than what was heard of is read again', async () => {
  const c = new Counter()
  c.replica.whole(c.now)
  const late = { ...c.now }
  c.add(1)
  const two = c.add(10)
  c.answer = () => Promise.resolve(c.reads === 1 ? late : c.now)
  c.replica.step(two)
  await arrives(c, 2)
  assert.equal(c.reads, 2)
})

test('a reading that fails leaves everything as it is, and the next hint begins anew', async () => {
  const c = new Counter()
  c.replica.whole(c.now)
  c.answer = () => Promise.reject(new Error('offline'))
  c.add(1)
  c.replica.step(c.add(10))
  await settled()
  assert.deepEqual(c.value, { version: 0, sum: 0 })
  c.answer = undefined
  c.replica.hint(2, 0)
  await arrives(c, 2)
})

test('a hint finds what nothing came after, and a server that was set back is followed after three', async () => {
  const c = new Counter()
  c.replica.hint(0, 0)
  while (c.value === null) await settled()
  c.replica.hint(0, 0)
  await settled()
  assert.equal(c.reads, 1, 'nothing was missing')
  c.add(1)
  c.replica.hint(1, 0)
  await arrives(c, 1)
  c.now = { version: 0, sum: -1 }
  for (let i = 0; i < 2; i++) c.replica.hint(0, 0)
  await settled()
  assert.deepEqual(c.value, { version: 1, sum: 1 }, 'one or two may come from a server that is late')
  c.replica.hint(0, 0)
  await arrives(c, 0)
  assert.deepEqual(c.value, c.now)
})

test('after a reset nothing of before arrives', async () => {
  const c = new Counter()
  c.replica.whole(c.now)
  let give: (whole: Whole) => void = () => {}
  c.answer = () => new Promise((done) => (give = done))
  c.add(1)
  c.replica.step(c.add(1))
  c.replica.reset()
  give(c.now)
  await settled()
  assert.equal(c.value, null)
})

test('whatever is lost, the replica arrives where the server is, and never goes back', async () => {
  const random = generator(seed)
  for (let round = 0; round < 12; round++) {
    const c = new Counter()
    for (let i = 0; i < 60; i++) {
      const whole = random() < 0.1
      const step = c.add(Math.floor(random() * 100))
      if (random() < 0.3) continue // lost
      if (whole) c.replica.whole(c.now)
      else c.replica.step(step)
      if (random() < 0.3) await settled()
    }
    c.replica.hint(c.now.version, 0)
    await arrives(c, c.now.version)
    assert.deepEqual(c.value, c.now, `seed ${seed}, round ${round}`)
    const versions = c.shown.map((whole) => whole?.version ?? -1)
    assert.deepEqual(versions, [...versions].sort((a, b) => a - b), `seed ${seed}, round ${round}: it went back`)
  }
})
