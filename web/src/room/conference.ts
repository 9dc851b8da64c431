import type { Json, Tree } from 'rollcall-client'
import { isFields, lead } from './content'

/** What to call a conference: its title, else that of its topic, else its id. */
export function conferenceTitle(tree: Tree | null, id: string): string {
  for (const section of [tree?.conferenceInfo, tree?.topicInfo]) {
    if (typeof section === 'string' && section !== '' && section.length <= 80) return section
    const { title } = lead(section)
    if (title !== '') return title
  }
  return tree?.conferenceId || id
}

/** Who shares a screen; null if nobody does. */
export function sharer(section: Json | undefined): { userId: string; userName: string } | null {
  if (!isFields(section) || !['1', 1, true].includes(section.isShare as never)) return null
  const { userId, userName } = section
  if (typeof userId !== 'string' && typeof userId !== 'number') return null
  return String(userId) === '' ? null : { userId: String(userId), userName: typeof userName === 'string' ? userName : '' }
}

// The last moment that a date can be.
const latest = 8.64e15

/** Somebody who has signed in, as the section says. `at` is 0 if it does not say when. */
export interface Signed {
  userId: string
  userName: string
  at: number
}

/** Who has signed in, in their order. What the list holds beside them is left out. */
export function signedIn(section: Json | undefined): Signed[] {
  if (!isFields(section) || !Array.isArray(section.signed)) return []
  return section.signed.filter(isFields).flatMap(({ userId, userName, at }) =>
    typeof userId === 'string' || typeof userId === 'number'
      ? [{ userId: String(userId), userName: typeof userName === 'string' ? userName : '', at: typeof at === 'number' && at <= latest ? at : 0 }]
      : [],
  )
}

/** The keys of a sharing, which its panel shows in its own way. */
export const shareKeys = ['isShare', 'userId', 'userName']

/** The keys of a section that the list of those who have signed in makes needless: not the list itself if it holds anything else. */
export function signInKeys(section: Json | undefined): string[] {
  if (!isFields(section)) return []
  const list = section.signed ?? []
  if (!Array.isArray(list)) return []
  return signedIn(section).length === list.length ? ['signed', 'signedNumber', 'total'] : ['signedNumber', 'total']
}
