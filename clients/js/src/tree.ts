import { keep, mergePatch } from './json.js'
import type { Json, Tree } from './types.js'
import type { TreePatch } from './wire.js'

/** Takes a whole tree: sections that are as they were stay the same objects. */
export function takeTree(old: Tree | null, whole: Tree): Tree {
  return keep(old, whole)
}

/** Applies a patch that begins at the version of the tree. */
export function patchTree(old: Tree, { to, serverTime, patch }: TreePatch): Tree {
  const { conferenceId, version: _, serverTime: __, ...sections } = old
  return { ...(mergePatch(sections, patch) as Pick<Tree, 'headData'> & { [section: string]: Json }), conferenceId, version: to, serverTime }
}
