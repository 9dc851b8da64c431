import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addNotice, emptyInbox, markAcknowledged, markRead, mergePush, recallNotice, Seen } from '../../src/inbox.js'
import type { Category, Inbox, InboxItem, Notice } from '../../src/types.js'

function notice(id: string, category: Category = 'system'): Notice {
  return { id, event: 'notice', category, conferenceId: '', senderId: '', senderName: '', title: id, body: '', data: null, requireAck: false, createdAt: 1, expiresAt: null }
}

const item = (id: string, read = false, category: Category = 'system'): InboxItem => ({ ...notice(id, category), read })
const unread = (total: number, byCategory: Inbox['unread']['byCategory'] = {}) => ({ total, byCategory })
const brief = (inbox: Inbox) => inbox.items.map(({ id, read }) => id + (read ? '' : '*')).join(' ')

test('a notice is counted up, listed once, the newest first', () => {
  let inbox = addNotice(addNotice(emptyInbox, notice('b')), notice('c', 'remind'))
  inbox = addNotice(inbox, notice('a'))
  assert.equal(brief(inbox), 'c* b* a*')
  assert.deepEqual(inbox.unread, unread(3, { system: 2, remind: 1 }))
  assert.equal(addNotice(inbox, notice('b')), inbox)
})

test('what the server counts goes before what was counted here', () => {
  const inbox = mergePush(addNotice(emptyInbox, notice('b')), { unread: unread(7, { system: 7 }), items: [item('c'), item('b', true)], more: true })
  assert.equal(brief(inbox), 'c* b')
  assert.deepEqual(inbox.unread, unread(7, { system: 7 }))
  assert.equal(inbox.more, true)
  const numbers = mergePush(inbox, { unread: unread(1), items: [], more: false })
  assert.equal(numbers.items, inbox.items)
  assert.equal(numbers.more, true, 'numbers alone say nothing about the rest')
})

test('what was recalled is gone, and counted down if it was unread', () => {
  const inbox = mergePush(emptyInbox, { unread: unread(2, { system: 1, remind: 1 }), items: [item('c', false, 'remind'), item('b', true)], more: false })
  assert.deepEqual([brief(recallNotice(inbox, 'c')), recallNotice(inbox, 'c').unread], ['b', unread(1, { system: 1 })])
  assert.deepEqual([brief(recallNotice(inbox, 'b')), recallNotice(inbox, 'b').unread], ['c*', inbox.unread])
  assert.equal(recallNotice(inbox, 'x'), inbox)
})

test('reading marks some, all, or a category, with the counts of the server', () => {
  const inbox = mergePush(emptyInbox, { unread: unread(3), items: [item('c', false, 'remind'), item('b'), item('a')], more: false })
  assert.equal(brief(markRead(inbox, ['b', 'x'], undefined, unread(2))), 'c* b a*')
  assert.equal(brief(markRead(inbox, 'all', undefined, unread(0))), 'c b a')
  const some = markRead(inbox, 'all', 'remind', unread(2, { system: 2 }))
  assert.deepEqual([brief(some), some.unread], ['c b* a*', unread(2, { system: 2 })])
  assert.equal(some.items[1], inbox.items[1])
})

test('what was acknowledged stays unread, and is remembered when the server sends it again', () => {
  let inbox = markAcknowledged(addNotice(emptyInbox, notice('a')), ['a'], unread(1))
  assert.equal(inbox.items[0]?.acknowledged, true)
  inbox = mergePush(inbox, { unread: unread(1), items: [item('a')], more: false })
  assert.equal(inbox.items[0]?.acknowledged, true)
})

test('the list and the memory have an end', () => {
  const id = (i: number) => String(i).padStart(5, '0')
  let inbox = emptyInbox
  for (let i = 0; i < 250; i++) inbox = addNotice(inbox, notice(id(i)))
  assert.deepEqual([inbox.items.length, inbox.items[0]?.id, inbox.more, inbox.unread.total], [200, id(249), true, 250])
  const seen = new Seen()
  for (let i = 0; i < 2001; i++) assert.equal(seen.add(id(i)), true)
  assert.equal(seen.add(id(1)), false)
  assert.equal(seen.add(id(0)), true, 'the oldest is forgotten')
})
