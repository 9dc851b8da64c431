import { Replica } from './replica.js'
import { diffRoster, readRoster, takeRoster, type KnownRoster } from './roster.js'
import type { Store } from './store.js'
import { patchTree, takeTree } from './tree.js'
import type { Roster, Tree } from './types.js'
import type { Ask, Pong, PresenceDiff, RosterPage, TreePatch } from './wire.js'

/** How long a push may take from the server's memory to here before it counts as lost; up to twice that, so that not all of a room ask at once. */
const PATIENCE_MS = 1500

/** The conference that we are in: its tree, and who is there. What comes of another is late, and ignored. */
export class Room {
  /** The id of the conference, "" for none. */
  place: string
  private readonly tree: Replica<Tree, TreePatch>
  private readonly roster: Replica<KnownRoster, PresenceDiff>
  /** The most users that a whole roster had. */
  private listed = 0

  constructor(place: string, store: Store, ask: Ask) {
    this.place = place
    const { tree, roster } = store.snapshot
    this.tree = new Replica<Tree, TreePatch>(tree, {
      version: (tree) => tree.version,
      target: (patch) => patch.to,
      take: takeTree,
      apply: (tree, patch) => (patch.from === tree.version ? patchTree(tree, patch) : null),
      read: async () => (await ask<{ tree: Tree }>('tree_resync')).tree,
      changed: (tree) => store.set({ tree }),
    })
    this.roster = new Replica<KnownRoster, PresenceDiff>(roster && { roster, stale: false }, {
      version: (known) => known.roster.rosterVersion,
      target: (diff) => diff.rosterVersion,
      take: (old, { roster, stale }) => ({ roster: takeRoster(old && old.roster, roster), stale }),
      apply: diffRoster,
      read: () => readRoster(this.place, this.listed, (cursor) => ask<RosterPage>('roster', { cursor, limit: 200 })),
      changed: (known) => store.set({ roster: known && known.roster }),
    })
  }

  /** Goes elsewhere: what is known of here is let go. Reports whether that is a move. */
  enter(place: string): boolean {
    if (place === this.place) return false
    this.place = place
    this.listed = 0
    this.tree.reset()
    this.roster.reset()
    return true
  }

  takeTree(tree: Tree): void {
    if (tree.conferenceId === this.place) this.tree.whole(tree)
  }

  patchTree(patch: TreePatch): void {
    if (patch.conferenceId === this.place) this.tree.step(patch)
  }

  takeRoster(roster: Roster): void {
    if (roster.conferenceId !== this.place) return
    this.listed = Math.max(this.listed, roster.users.length)
    this.roster.whole({ roster, stale: false })
  }

  diffRoster(diff: PresenceDiff): void {
    if (diff.conferenceId === this.place) this.roster.step(diff)
  }

  /** The last frames may have been lost, with nothing after them to show it: compares versions with those that the server has. */
  compare({ version, rosterVersion }: Pong): void {
    if (this.place === '') return
    const patience = PATIENCE_MS * (1 + Math.random())
    this.tree.hint(version, patience)
    this.roster.hint(rosterVersion, patience)
  }

  /** What is still to come changes nothing any more. */
  stop(): void {
    this.tree.stop()
    this.roster.stop()
  }
}
