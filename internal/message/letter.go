package message

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// A letter is stored first and handed to sockets after, and nobody may fall between the two:
//
// A socket first enters the rooms of the hall, then Arrived has its user's inbox read. A letter is first committed,
// then the hall is asked who is there. So of a socket that comes meanwhile, either the inbox is read after the commit
// and the letter is found in it, or the inbox was read before the commit, and then the socket sits in its room when
// the letter goes out. Both may happen: at least once, with the same id.
//
// Who is there is looked up before the commit too, so that in the usual case the ledger is right in that same
// transaction. Where the second look differs, the ledger is corrected.

// letter is something to be said to people.
type letter struct {
	entry notice.Entry // without deliveries
	frame frame
	to    hall.Audience
	users []string // who is addressed by name; of an audience that has no names, nobody
	names bool     // whoever is found is addressed by name from then on: the log lists him
	holds bool     // who is reconnecting gets it when he is back; it is not stored
	quiet bool     // it is in no log

	held []notice.Held     // for whom it is kept, see address
	kept map[string]bool   // the users of held
	at   map[string]string // the node, "" being this one, of the socket by which a user is there
	away map[string]bool   // users whose absence here another node sees to

	senderMsgID string
	kind        string // for the metrics
}

// handed is what became of a letter at once.
type handed struct {
	notice.Posted
	users   []string // whom sockets were found for
	sockets int
}

// send posts a letter, and emits it once it is committed.
func (m *Messages) send(ctx context.Context, l letter) (handed, error) {
	found := m.Hall.Find(l.to)
	away, err := m.Presence.Elsewhere(ctx, l.to)
	if err != nil {
		return handed{}, err
	}
	if err := m.address(ctx, &l, append(found, away...)); err != nil {
		return handed{}, err
	}
	mail, err := m.mail(l)
	if err != nil {
		return handed{}, err
	}
	var reached atomic.Int64
	reached.Store(int64(len(found)))
	after := func(notice.Posted) {
		reached.Store(int64(m.goOut(l)))
		if mail == nil {
			m.mailLate(ctx, l)
		}
	}
	done := handed{Posted: notice.Posted{ID: l.entry.ID, Fresh: true}, users: hall.Users(append(found, away...))}
	if l.quiet {
		if err := m.hold(ctx, l, mail); err != nil {
			return handed{}, err
		}
		store.AfterCommit(ctx, func() { after(done.Posted) })
	} else if done.Posted, err = m.Notices.Post(ctx, notice.Posting{Entry: l.entry, Held: l.held, Letters: mail, SenderMsgID: l.senderMsgID, After: after}); err != nil {
		return handed{}, err
	}
	done.sockets = int(reached.Load()) + len(away)
	if done.Fresh {
		m.metrics.said.WithLabelValues(l.kind).Inc()
	}
	return done, nil
}

// hold writes what there is to write of a letter that is in no log.
func (m *Messages) hold(ctx context.Context, l letter, mail []hall.Letter) error {
	return m.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		if err := m.Notices.Hold(ctx, l.held); err != nil || mail == nil {
			return err
		}
		return m.Cluster.Forward(ctx, mail)
	})
}

// address writes into the letter what becomes of it for each user, given the sockets that are there, and what is to be
// kept for those who are reconnecting.
func (m *Messages) address(ctx context.Context, l *letter, found []hall.Socket) error {
	at, there := l.entry.CreatedAt, first(found)
	if l.names {
		l.users = append(slices.Clone(l.users), hall.Users(found)...)
	}
	if l.holds {
		ends, err := m.reconnecting(ctx, *l, there)
		if err != nil {
			return err
		}
		l.kept = make(map[string]bool, len(ends))
		for user, end := range ends {
			l.kept[user] = true
			l.held = append(l.held, heldFor(user, *l, end))
			if l.names {
				l.users = append(l.users, user)
			}
		}
	}
	l.users = distinct(l.users)
	l.entry.Deliveries = make([]notice.Delivery, 0, len(l.users))
	l.at, l.away = map[string]string{}, map[string]bool{}
	for _, user := range l.users {
		d := notice.Delivery{UserID: user, State: notice.Unreached, At: at}
		s, is := there[user]
		l.at[user], l.away[user] = s.Node, s.Node != ""
		switch {
		case is:
			d = notice.Delivery{UserID: user, State: notice.Sent, At: at, SessionID: s.SessionID, ClientType: s.ClientType, DeviceID: s.DeviceID, IP: s.IP}
		case l.entry.Stored || l.kept[user]:
			d.State = notice.Queued
		}
		l.entry.Deliveries = append(l.entry.Deliveries, d)
	}
	l.entry.Sent = len(there)
	if l.entry.State = notice.Sent; l.entry.Sent == 0 && l.entry.Stored {
		l.entry.State = notice.Queued
	}
	return nil
}

// reconnecting returns which users of a letter without a socket are reconnecting, and when their grace ends.
func (m *Messages) reconnecting(ctx context.Context, l letter, there map[string]hall.Socket) (map[string]int64, error) {
	var ends map[string]int64
	var err error
	if l.to.All {
		ends, err = m.Presence.AllReconnecting(ctx, l.to.ConferenceID)
	} else if missing := without(l.users, there); len(missing) > 0 {
		ends, err = m.Presence.Reconnecting(ctx, missing, l.to.ConferenceID)
	}
	if err != nil {
		return nil, err
	}
	for user := range there {
		delete(ends, user)
	}
	for _, user := range l.to.Except {
		delete(ends, user)
	}
	return ends, nil
}

// goOut emits a letter that is committed, corrects the ledger, and returns how many sockets it reached. Nothing in it
// waits.
func (m *Messages) goOut(l letter) int {
	to := l.to
	if len(l.kept) > 0 { // they get it by way of what is kept for them, and so once
		back := m.Hall.Find(hall.Audience{Users: slices.Collect(maps.Keys(l.kept)), ConferenceID: to.ConferenceID, ClientTypes: to.ClientTypes})
		to.Users = without(to.Users, l.kept)
		if to.All {
			to.Except = append(slices.Clone(to.Except), hall.Users(back)...)
		}
		defer m.arrived(true, back...)
	}
	reached := m.emit(to, l.frame)
	there := first(reached)
	if l.entry.RequireAck && !l.quiet {
		m.expect(errandOf(l.entry, l.frame), slices.Collect(maps.Keys(there)))
	}
	m.correct(l, there)
	return len(reached)
}

// correct has the ledger say whom a letter did reach, where it says something else.
func (m *Messages) correct(l letter, there map[string]hall.Socket) {
	var fixes []mark
	var gone []string // users who had no socket any more, or still none
	for _, d := range l.entry.Deliveries {
		s, is := there[d.UserID]
		switch fix := markOf(l.entry.ID, s, m.now()); {
		case is && d.State != notice.Sent:
			fix.State = notice.Sent
			fixes = append(fixes, fix)
		case is || l.kept[d.UserID] || l.away[d.UserID]:
		case d.State == notice.Sent && l.entry.Stored:
			fix.State, fix.UserID, fix.SessionID = notice.Queued, d.UserID, d.SessionID
			fixes = append(fixes, fix)
		case !l.entry.Stored:
			gone = append(gone, d.UserID)
			if fix.State, fix.UserID = notice.Unreached, d.UserID; d.State != notice.Unreached { // else the ledger says so
				fixes = append(fixes, fix)
			}
		}
	}
	if !l.quiet {
		m.mark(fixes...)
	}
	if l.holds && len(gone) > 0 {
		m.missed(l, gone)
	}
}

// first returns the first socket of each user.
func first(sockets []hall.Socket) map[string]hall.Socket {
	there := make(map[string]hall.Socket, len(sockets))
	for _, s := range sockets {
		if _, is := there[s.UserID]; !is && s.UserID != "" {
			there[s.UserID] = s
		}
	}
	return there
}

// without returns the users that are not among others.
func without[T any](users []string, others map[string]T) []string {
	return slices.DeleteFunc(slices.Clone(users), func(u string) bool { _, is := others[u]; return is })
}

// distinct returns users once each, in their order.
func distinct(users []string) []string {
	seen := make(map[string]bool, len(users))
	return slices.DeleteFunc(slices.Clone(users), func(u string) bool {
		again := seen[u]
		seen[u] = true
		return again || u == ""
	})
}

// online returns how many users are online. Callers of one moment share one look.
func (m *Messages) online(ctx context.Context) (int, error) {
	n, err := share(ctx, m, "online", m.Presence.OnlineUsers)
	if err != nil {
		return 0, fmt.Errorf("count who is online: %w", err)
	}
	return n, nil
}

// nameOf returns the registered name of a user, "" if there is none.
func (m *Messages) nameOf(ctx context.Context, userID string) (string, error) {
	if userID == "" {
		return "", nil
	}
	u, err := share(ctx, m, "name "+userID, func(ctx context.Context) (presence.User, error) {
		u, err := m.Presence.User(ctx, userID)
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return u, err
	})
	return u.Name, err
}

// share has callers of one moment share one look, unless they see more than others because of their transaction.
func share[T any](ctx context.Context, m *Messages, what string, look func(context.Context) (T, error)) (T, error) {
	if store.InTransaction(ctx) {
		return look(ctx)
	}
	seen, err, _ := m.counting.Do(what, func() (any, error) { return look(context.WithoutCancel(ctx)) })
	if err != nil {
		var none T
		return none, err
	}
	return seen.(T), nil
}
