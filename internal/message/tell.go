package message

import (
	"context"
	"encoding/json"
	"sync"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// tellings are the users whose devices are being told what is unread. Two devices may read at the same moment, and of
// the two who then tell of it, the one that counted first may emit last: it finds out here, and tells once more. Safe
// for concurrent use.
type tellings struct {
	mu   sync.Mutex // guards user
	user map[string]*telling
}

type telling struct{ asked, running int }

// begin notes that somebody has a reason to tell the devices of a user, and returns the number of it.
func (t *tellings) begin(userID string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.user == nil {
		t.user = map[string]*telling{}
	}
	if t.user[userID] == nil {
		t.user[userID] = &telling{}
	}
	t.user[userID].running++
	t.user[userID].asked++
	return t.user[userID].asked
}

// end returns 0 if there was no reason after that of the number told, or the number of the last one, which is then to be
// told. Whoever gives up does so with told -1.
func (t *tellings) end(userID string, told int) (again int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.user[userID]
	if told >= 0 && told != u.asked {
		return u.asked
	}
	if u.running--; u.running == 0 {
		delete(t.user, userID)
	}
	return 0
}

// tellLater has the sockets of a user, but for those of a session, told what is unread once the transaction of ctx, if
// it carries one, is committed.
func (m *Messages) tellLater(ctx context.Context, userID, exceptSession string) {
	store.AfterCommit(ctx, func() {
		m.note("tell other devices what is unread", m.tellUnread(context.WithoutCancel(store.Outside(ctx)), userID, exceptSession))
		m.tellNodes(ctx, userID)
	})
}

// unreadMost bounds the users whom other nodes name before their devices here are told. Whoever finds no room is told with the
// next change.
const unreadMost = 10_000

// tellNodes has the devices of a user on other nodes told what is unread.
func (m *Messages) tellNodes(ctx context.Context, userID string) {
	l, err := cluster.Letter(unreadKind, unreadBody{userID})
	if m.note("write a letter", err); err == nil {
		m.post(ctx, l)
	}
}

// tellHeard tells the devices here of users whom another node has named.
func (m *Messages) tellHeard(ctx context.Context) error {
	for _, userID := range distinct(m.unread.take(ctx, unreadMost)) {
		if err := m.tellUnread(ctx, userID, ""); err != nil {
			return err
		}
	}
	return nil
}

// tellUnread tells again until nothing was changed meanwhile, and then that session too, because others changed it.
func (m *Messages) tellUnread(ctx context.Context, userID, exceptSession string) error {
	for number := m.tellings.begin(userID); number != 0; exceptSession = "" {
		if err := m.tellSockets(ctx, userID, exceptSession); err != nil {
			m.tellings.end(userID, -1)
			return err
		}
		number = m.tellings.end(userID, number)
	}
	return nil
}

// tellSockets pushes the counts of a user to his sockets, but for those of a session: each as it sees them.
func (m *Messages) tellSockets(ctx context.Context, userID, exceptSession string) error {
	sessions := map[notice.View][]string{}
	for _, s := range m.Hall.Find(hall.Audience{Users: []string{userID}, ExceptOf: exceptSession}) {
		if s.SessionID != "" {
			sessions[viewOf(s)] = append(sessions[viewOf(s)], s.SessionID)
		}
	}
	for v, list := range sessions {
		unread, err := m.Notices.Unread(ctx, v)
		if err != nil {
			return err
		}
		var payload json.RawMessage
		if payload, err = encode(inboxPush{Unread: unread, Items: []Item{}}); err != nil {
			return err
		}
		m.Hall.Emit(hall.Audience{Sessions: list}, inboxEvent, payload)
	}
	return nil
}
