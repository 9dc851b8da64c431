import type { Json } from 'rollcall-client'

export const timerStates = ['running', 'paused', 'finished', 'idle'] as const

/** A timer as rollcall's timer command leaves it in the section. Times in milliseconds. */
export interface Timer {
  state: (typeof timerStates)[number]
  endsAt?: number
  remainingMs?: number
  durationMs?: number
}

/** The keys of the section that a timer is made of; others are the backend's. */
export const timerKeys = ['state', 'endsAt', 'remainingMs', 'durationMs']

/** Reads the section; null if the backend put something else there. */
export function readTimer(section: Json | undefined): Timer | null {
  if (section === null || typeof section !== 'object' || Array.isArray(section)) return null
  const state = timerStates.find((s) => s === section.state)
  if (state === undefined) return null
  const number = (key: string) => (typeof section[key] === 'number' ? section[key] : undefined)
  const timer = { state, endsAt: number('endsAt'), remainingMs: number('remainingMs'), durationMs: number('durationMs') }
  return state === 'running' && timer.endsAt === undefined ? null : timer
}

/** What is left of it at a time of the server, never less than nothing. */
export function remaining(timer: Timer, serverNow: number): number {
  if (timer.state === 'running') return Math.max(0, (timer.endsAt ?? serverNow) - serverNow)
  return Math.max(0, timer.remainingMs ?? (timer.state === 'finished' ? 0 : timer.durationMs ?? 0))
}

/** As a clock shows it: 04:59, 1:00:00. Begun seconds count, so that 00:00 is shown when nothing is left. */
export function clockText(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  const two = (n: number) => String(n).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours > 0 ? `${hours}:${rest}` : rest
}
