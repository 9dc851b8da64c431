// Package explain puts what is known of one user into one time line: why he was shown offline, and why he did not get
// what was said to him.
package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
)

const (
	// momentsMax is how many moments a line has at most.
	momentsMax = 1000
	// usualRange is how far a line reaches back when it is not said.
	usualRange = 24 * time.Hour
	// noteKind is the kind of a moment that is about the line itself.
	noteKind = "note"
)

// Query says what is to be explained. Times are milliseconds since 1970.
type Query struct {
	UserID       string
	ConferenceID string // "" is all of them, without their trees
	From, To     int64  // To 0 is now, From 0 is 24 h before To
}

// Moment is something that happened to a user, or that was said of him or to him. Text is one sentence for an operator;
// the other fields are those that the kind has.
type Moment struct {
	At           int64  `json:"at" doc:"Milliseconds since 1970"`
	Kind         string `json:"kind" doc:"session.opened, session.closed, state.*, notice.*, tree.pushed or note"`
	Text         string `json:"text"`
	ConferenceID string `json:"conferenceId,omitempty"`
	SessionID    string `json:"sessionId,omitempty"`
	Node         string `json:"node,omitempty"`
	ClientType   string `json:"clientType,omitempty"`
	DeviceID     string `json:"deviceId,omitempty"`
	IP           string `json:"ip,omitempty"`
	Reason       string `json:"reason,omitempty"`
	NoticeID     string `json:"noticeId,omitempty"`
	Event        string `json:"event,omitempty"`
	State        string `json:"state,omitempty"`
	Version      int64  `json:"version,omitempty"`
}

// Explainer tells time lines. Safe for concurrent use.
type Explainer struct {
	presence *presence.Presence
	notices  *notice.Notices
	grace    time.Duration
}

// New returns an Explainer. grace is how long a lost user is reconnecting.
func New(p *presence.Presence, n *notice.Notices, grace time.Duration) *Explainer {
	return &Explainer{presence: p, notices: n, grace: grace}
}

// Line returns what happened in the time asked for, oldest first, and of more than 1,000 moments the newest, with a note
// in front. Notices are found by the time at which they were made. Without a user, or with a time that ends before it
// begins, it is a fault Invalid.
func (e *Explainer) Line(ctx context.Context, q Query) ([]Moment, error) {
	if q.UserID == "" {
		return nil, fault.Invalidf("an explanation needs a user")
	}
	q.To = cmp.Or(q.To, time.Now().UnixMilli())
	if q.From == 0 {
		q.From = max(1, q.To-usualRange.Milliseconds())
	}
	if q.From > q.To {
		return nil, fault.Invalidf("the time to explain ends before it begins")
	}
	l := &line{Explainer: e, Query: q, now: min(q.To, time.Now().UnixMilli())}
	for _, part := range []func(context.Context) error{l.addSessions, l.addAnnouncements, l.addDeliveries, l.addTrees} {
		if err := part(ctx); err != nil {
			return nil, fmt.Errorf("explain user %s: %w", q.UserID, err)
		}
	}
	return l.finish(), nil
}

// line is a time line in the making.
type line struct {
	*Explainer
	Query
	now     int64 // behind which nothing is known
	records []presence.Record
	moments []Moment
	cut     bool // something older was left out
}

func (l *line) add(m Moment) {
	if m.At >= l.From && m.At <= l.To {
		l.moments = append(l.moments, m)
	}
}

func (l *line) finish() []Moment {
	slices.SortStableFunc(l.moments, func(a, b Moment) int { return cmp.Compare(a.At, b.At) })
	if over := len(l.moments) - momentsMax; over > 0 {
		l.moments, l.cut = l.moments[over:], true
	}
	if !l.cut {
		return l.moments
	}
	note := Moment{At: l.From, Kind: noteKind, Text: fmt.Sprintf("There is more than %d moments hold: the oldest are left out, so ask for a shorter time.", momentsMax)}
	if len(l.moments) > 0 {
		note.At = l.moments[0].At
	}
	return append([]Moment{note}, l.moments[max(0, len(l.moments)-momentsMax+1):]...)
}
