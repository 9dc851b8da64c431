import { shallowRef, type ShallowRef } from 'vue'
import { api, serverNow, type Tree } from './api'
import { differences, type Difference } from './diff'
import { useLoad } from './load'

/** A version of a tree that this tab has seen. */
export interface Version {
  version: number
  seenAt: number
  tree: Tree
}

const kept = 100
const seen = new Map<string, ShallowRef<Version[]>>()

/** The names of the sections, in the order of the protocol. */
export const sectionNames = ['conferenceStatus', 'conferenceInfo', 'topicInfo', 'countersignData', 'timer', 'sameScreen', 'headData', 'signInData']

/** The sections of a tree alone. */
export function sectionsOf(tree: Tree): Record<string, unknown> {
  return Object.fromEntries(sectionNames.filter((name) => name in tree).map((name) => [name, tree[name]]))
}

/** What changed between two versions. */
export function between(older: Version, newer: Version): Difference[] {
  return differences(sectionsOf(older.tree), sectionsOf(newer.tree))
}

/** The tree of a conference, asked for every two seconds, and all of its versions that were seen, oldest first. */
export function useTree(id: string) {
  const versions = seen.get(id) ?? shallowRef<Version[]>([])
  seen.set(id, versions)
  const load = useLoad(async (signal, old: Tree | undefined) => {
    const tree = (await api.tree(id, old?.version, signal)) ?? old!
    const last = versions.value.at(-1)
    if (!last || tree.version > last.version) versions.value = [...versions.value, { version: tree.version, seenAt: serverNow(), tree }].slice(-kept)
    return tree
  }, { every: 2000 })
  return { load, versions }
}
