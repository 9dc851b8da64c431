import type { ChatMessage, Coming, Going } from 'rollcall-client'
import { computed, ref, shallowRef, watch } from 'vue'
import type { Seat } from './seat'

/** A line of the conversation: something that was said, or people who came or went, one after another. `at` is when the last of them did. */
export type Line =
  | { kind: 'said'; key: string; at: number; message: ChatMessage }
  | { kind: 'came'; key: string; at: number; who: Coming[] }
  | { kind: 'went'; key: string; at: number; who: Coming[]; reason: Going['reason'] }

/** Puts neighbours of the same kind into one line: a room that fills is no reason to lose what was said. */
export function fold(lines: Line[]): Line[] {
  const folded: Line[] = []
  for (const line of lines) {
    const last = folded.at(-1)
    const alike = last?.kind === 'went' && line.kind === 'went' ? last.reason === line.reason : last?.kind === 'came' && line.kind === 'came'
    if (alike && last?.kind !== 'said' && last && line.kind !== 'said') folded[folded.length - 1] = { ...last, at: line.at, who: [...last.who, ...line.who] }
    else folded.push(line)
  }
  return folded
}

// Old lines about coming and going are of no use; what was said can be asked for again.
const mostMoves = 200

/** Gathers what is said in the room and who comes and goes, oldest first. `looking` tells whether somebody sees it. */
export function useTalk(seat: Seat, looking: () => boolean) {
  const said = shallowRef(new Map<string, ChatMessage>())
  const moves = shallowRef<Line[]>([])
  /** Whether the history has been asked for, and the cursor of the next page. */
  const asked = ref(false)
  const next = ref<string | null>(null)
  /** How many messages of others came since somebody looked. */
  const unseen = ref(0)

  function add(messages: ChatMessage[]) {
    const all = new Map(said.value)
    for (const message of messages) all.set(message.id, message)
    said.value = all
  }

  function addNew(messages: ChatMessage[]) {
    const fresh = messages.filter((message) => !said.value.has(message.id) && message.userId !== seat.snapshot.value.self?.userId)
    if (!looking()) unseen.value += fresh.length
    add(messages)
  }

  function move(line: Line) {
    moves.value = [...moves.value, line].slice(-mostMoves)
  }

  /** Asks for what was said before the oldest message that is known from the history. */
  async function older() {
    const page = await seat.meeting.chatHistory({ before: next.value ?? undefined, limit: 50 })
    add(page.items)
    next.value = page.next
    asked.value = true
  }

  /** Asks for what was said while the line was down: page by page, until one has something that is known. */
  async function catchUp() {
    let before: string | undefined
    for (let pages = 0; pages < 4; pages++) {
      const page = await seat.meeting.chatHistory({ before, limit: 50 })
      const known = page.items.some((message) => said.value.has(message.id))
      addNew(page.items)
      if (known || page.next === null) return
      before = page.next
    }
  }

  seat.meeting.on('chat', (message) => addNew([message]))
  seat.meeting.on('arrived', (who) => move({ kind: 'came', key: `came ${who.userId} ${who.at}`, at: who.at, who: [who] }))
  seat.meeting.on('left', (who) => move({ kind: 'went', key: `went ${who.userId} ${who.at}`, at: who.at, who: [who], reason: who.reason }))
  watch(looking, (now) => { if (now) unseen.value = 0 })
  watch(seat.live, (live) => {
    // Should the line break in between, the next one brings another attempt.
    if (live) (asked.value ? catchUp() : older()).catch(() => undefined)
  }, { immediate: true })

  const lines = computed<Line[]>(() => {
    const messages: Line[] = [...said.value.values()].map((message) => ({ kind: 'said', key: message.id, at: message.at, message }))
    return fold([...messages, ...moves.value].sort((a, b) => a.at - b.at || (a.key < b.key ? -1 : 1)))
  })
  return { lines, older, next, asked, unseen }
}

export type Talk = ReturnType<typeof useTalk>
