package message

import (
	"context"
	"time"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
)

const (
	// lateAfter is when it is looked again whether somebody was reconnecting: that a socket was lost is committed some
	// milliseconds after it has left the hall.
	lateAfter = 300 * time.Millisecond
	lateMost  = 1000 // letters that wait for that at most
)

// missed is a letter that is not stored, and users whom it did not reach although they were not known to be reconnecting.
type missed struct {
	at     time.Time
	letter letter
	users  []string
}

func (m *Messages) missed(l letter, users []string) {
	if m.late.push(missed{time.Now().Add(lateAfter), l, users}) == 0 {
		m.metrics.dropped.WithLabelValues("late").Inc()
	}
}

// lookAgain keeps what was missed for those who turn out to be reconnecting.
func (m *Messages) lookAgain(ctx context.Context) error {
	list := m.late.take(ctx, lateMost)
	if len(list) == 0 {
		return nil
	}
	pause(ctx, time.Until(list[len(list)-1].at)) // the others are overdue by little
	users := map[string][]string{}               // by conference
	for _, l := range list {
		users[l.letter.to.ConferenceID] = append(users[l.letter.to.ConferenceID], l.users...)
	}
	var held []notice.Held
	for conferenceID, some := range users {
		ends, err := m.Presence.Reconnecting(ctx, some, conferenceID)
		if err != nil {
			return err // what is not stored may be lost while the database is away
		}
		for _, l := range list {
			for _, user := range l.users {
				if end := ends[user]; end > 0 && l.letter.to.ConferenceID == conferenceID {
					held = append(held, heldFor(user, l.letter, end))
				}
			}
		}
	}
	if err := m.Notices.Hold(ctx, held); err != nil {
		return err
	}
	back := make([]string, len(held))
	for i, h := range held {
		back[i] = h.UserID
	}
	if len(back) == 0 {
		return nil
	}
	back = distinct(back)
	m.arrived(true, m.Hall.Find(hall.Audience{Users: back})...)
	l, err := cluster.Letter(keptKind, keptBody{back})
	if err != nil {
		return err
	}
	m.post(ctx, l)
	return nil
}

// heldFor returns what is kept of a letter for a user until the end of his grace.
func heldFor(user string, l letter, end int64) notice.Held {
	h := notice.Held{ID: id.New(), UserID: user, NoticeID: l.entry.ID, Scope: l.to.ConferenceID, ClientTypes: l.to.ClientTypes, Event: l.frame.event, Args: l.frame.args, ExpiresAt: end}
	if l.quiet {
		h.NoticeID = ""
	}
	return h
}

// asksFor reports whether a kept message is one that sockets are asked to acknowledge: a notice. What was pushed in
// the shape of an older service has one argument and reaches listeners that must see no more.
func asksFor(h notice.Held) bool { return h.Event == noticeEvent || len(h.Args) > 1 }
