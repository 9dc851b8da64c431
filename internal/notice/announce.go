package notice

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/rawjson"
)

// The events by which a room is told that somebody came or went.
const (
	OnlineNotice  = "online_notice"
	OfflineNotice = "offline_notice"
)

const (
	// headStart is how long a recorded change is left to whoever committed it before a sweep, on this node or another,
	// takes it up. Without it both would ask for the same window, and the loser would log a suppression that never was.
	headStart = 250 * time.Millisecond
	// freeMargin is added to the end of a window, as clocks and time to live are rounded to milliseconds.
	freeMargin = 3 * time.Millisecond
)

// Pending is a user in a conference about whom something may have to be said. Mark, set by Due, is the number of the
// change up to which that is known.
type Pending struct {
	ConferenceID, UserID string
	Mark                 int64
}

// Subject is a user in a conference and the truth about him.
type Subject struct {
	ConferenceID, UserID, UserName string
	Online                         bool   // online or reconnecting
	Reason                         string // why he went; for offline only
	Count                          int    // people online in the conference now
	At                             int64  // time of the fact, in milliseconds since 1970; 0 is now
	Mark                           int64  // Pending.Mark, when the truth was read after Due; 0 right after a commit
}

// Announcement is an event that the caller must now emit: Message is its payload, as it stands in the log.
type Announcement struct {
	ID, Event                              string
	ConferenceID, UserID, UserName, Reason string
	At                                     int64
	Message                                json.RawMessage
}

// standings keeps where announcements stand. settle locks the rows of the pairs, has fn decide what becomes of them
// and what goes to the log, and commits both; fn may be called several times.
type standings interface {
	record(ctx context.Context, pairs []pair, dueAt int64) error
	due(ctx context.Context, now int64, limit int) ([]Pending, error)
	look(ctx context.Context, pairs []pair) (map[pair]standing, error)
	settle(ctx context.Context, pairs []pair, fn func(context.Context, map[pair]standing) ([]standing, []Entry, error)) error
}

// Record notes, in the transaction that ctx carries, that the presence of these users changes in it. What is to be
// said of it thereby survives the death of this node: Due returns it 250 ms later unless Announce has dealt with it.
func (n *Notices) Record(ctx context.Context, pending []Pending) error {
	if len(pending) == 0 {
		return nil
	}
	pairs := make(map[pair]bool, len(pending))
	for _, p := range pending {
		pairs[pair{p.ConferenceID, p.UserID}] = true
	}
	err := n.standings.record(ctx, sorted(maps.Keys(pairs)), time.Now().Add(headStart).UnixMilli())
	if err != nil {
		return fmt.Errorf("record announcements: %w", err)
	}
	return nil
}

// Due returns at most limit pairs that must be looked at, those that wait longest first. The caller reads the truth
// about each, after this call, and hands every one of them to Announce with its Mark; a pair that is not handed on
// is returned again. A conference that is gone is handed on as offline.
func (n *Notices) Due(ctx context.Context, limit int) ([]Pending, error) {
	due, err := n.standings.due(ctx, time.Now().UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("find announcements that are due: %w", err)
	}
	return due, nil
}

// Announce decides what is to be said, commits that together with the log, and returns what the caller must emit, in
// the order of commits. Callers of one node take turns with Announce and emitting, or a room may hear two
// announcements about one user in the wrong order. After an error everything that was recorded is still due.
//
// Why the last announcement is true in the end. Every change of presence raises the change number of its pair and
// makes it due, in the transaction of the change (Record). A subject with a mark was read after Due had seen that
// number; if the locked row still has it, no change was committed in between, so the subject is the truth at this
// moment, and only such a subject takes the pair off the list of what is due. With another number it is ignored:
// whoever caused that number made the pair due again. A subject without a mark comes right after a commit and may be
// stale. It may announce at once, but it leaves the pair due, so that a sweep compares it with the truth 250 ms
// later; and if the pair is no longer due, an exact look has already dealt with its change, so it is ignored. A stale
// subject cannot put off what is true either: it is held back only when it differs from what was said, and then,
// there being two states, what was said is the truth.
//
// Windows are claimed before the transaction, so that no row is locked while Redis is asked and a transaction that is
// tried again does not meet its own claim. A claim that led to no announcement is given back; if that fails, or the
// transaction does, the pair is held back for one window at most and then found by Due.
//
// within, if not nil, is called with what is said in the transaction that commits it; its error rolls that back. It may be
// called several times.
func (n *Notices) Announce(ctx context.Context, subjects []Subject, within func(context.Context, []Announcement) error) ([]Announcement, error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	latest := make(map[pair]Subject, len(subjects))
	for _, s := range subjects {
		latest[pair{s.ConferenceID, s.UserID}] = s
	}
	pairs := sorted(maps.Keys(latest))
	before, err := n.standings.look(ctx, pairs)
	if err != nil {
		return nil, fmt.Errorf("read announcements: %w", err)
	}
	r := &round{subjects: latest, detailMax: n.detailMax, within: within}
	asked := time.Now()
	r.claims = n.claim(ctx, r, before)
	if err := n.standings.settle(ctx, pairs, r.settle); err != nil {
		return nil, fmt.Errorf("settle announcements: %w", err)
	}
	n.conclude(ctx, r, asked)
	return r.said, nil
}

// claim asks for the windows of what would be said as the rows stand now.
func (n *Notices) claim(ctx context.Context, r *round, rows map[pair]standing) map[pair]claim {
	var wanted []pair
	var names []string
	for p, s := range r.subjects {
		if row := rows[p]; row.heeds(s.Mark) && decide(row.said, s.Online, r.crowded(s), false) == hold {
			wanted, names = append(wanted, p), append(names, n.keys.name(p, event(s.Online)))
		}
	}
	claims := make(map[pair]claim, len(wanted))
	for i, c := range n.keys.claim(ctx, names) {
		claims[wanted[i]] = c
	}
	return claims
}

// conclude begins the windows of what was said, gives back the claims that were not needed, and counts.
func (n *Notices) conclude(ctx context.Context, r *round, asked time.Time) {
	needed := make(map[pair]bool, len(r.said))
	for _, a := range r.said {
		needed[pair{a.ConferenceID, a.UserID}] = true
	}
	var begun, unused []string
	for p, c := range r.claims {
		switch name := n.keys.name(p, event(r.subjects[p].Online)); {
		case c.granted && needed[p]:
			begun = append(begun, name)
		case c.granted:
			unused = append(unused, name)
		}
	}
	n.keys.begin(begun)
	n.keys.release(ctx, unused, asked)
	for _, e := range r.entries {
		n.metrics.announcements.WithLabelValues(e.Event, e.State).Inc()
	}
}

// round is one call of Announce.
type round struct {
	subjects  map[pair]Subject
	claims    map[pair]claim // only for pairs whose window was asked for
	detailMax int
	within    func(context.Context, []Announcement) error // may be nil

	said    []Announcement
	entries []Entry
	changed []standing
}

func (r *round) crowded(s Subject) bool { return s.Count > r.detailMax }

// settle decides on the locked rows. It starts afresh each time, as a transaction may be tried again.
func (r *round) settle(ctx context.Context, rows map[pair]standing) ([]standing, []Entry, error) {
	r.said, r.entries, r.changed = nil, nil, nil
	now := time.Now()
	for _, p := range sorted(maps.Keys(rows)) {
		row, s := rows[p], r.subjects[p]
		c, asked := r.claims[p]
		v := decide(row.said, s.Online, r.crowded(s), c.granted)
		if !row.heeds(s.Mark) || v == hold && !asked {
			continue // stale, or the row moved since its window was asked for: it stays due
		}
		next := row.after(v, s.Online, s.Mark != 0, now.Add(headStart).UnixMilli(), c.free.Add(freeMargin).UnixMilli())
		if next != row {
			r.changed = append(r.changed, next)
		}
		if v == rest || v == hold && row.held == row.change {
			continue
		}
		if err := r.log(s, v, now.UnixMilli()); err != nil {
			return nil, nil, err
		}
	}
	if r.within != nil && len(r.said) > 0 {
		if err := r.within(ctx, r.said); err != nil {
			return nil, nil, err
		}
	}
	return r.changed, r.entries, nil
}

// log adds the log row of a verdict, and the announcement if there is one.
func (r *round) log(s Subject, v verdict, now int64) error {
	if s.At == 0 {
		s.At = now
	}
	if s.Online {
		s.Reason = ""
	}
	message, err := payload(s)
	if err != nil {
		return err
	}
	e := Entry{
		ID: id.New(), ConferenceID: s.ConferenceID, SenderID: s.UserID, SenderName: s.UserName, Actor: "system", Event: event(s.Online),
		SendType: "1", Message: message, Audience: s.Count, Online: s.Count, CreatedAt: now,
	}
	if s.Online && e.Audience > 0 {
		e.Audience-- // he is not told of himself
	}
	switch v {
	case say:
		e.State, e.Sent = Sent, e.Audience
		r.said = append(r.said, Announcement{e.ID, e.Event, s.ConferenceID, s.UserID, s.UserName, s.Reason, s.At, message})
	case hold:
		e.State = Suppressed
	case summarise:
		e.State = Summarised
	}
	r.entries = append(r.entries, e)
	return nil
}

func payload(s Subject) (json.RawMessage, error) {
	b, err := rawjson.Encode(struct {
		ConferenceID string `json:"conferenceId"`
		UserID       string `json:"userId"`
		UserName     string `json:"userName"`
		Reason       string `json:"reason,omitempty"`
		At           int64  `json:"at"`
	}{s.ConferenceID, s.UserID, s.UserName, s.Reason, s.At})
	if err != nil {
		return nil, fmt.Errorf("encode announcement: %w", err)
	}
	return b, nil
}

func event(online bool) string {
	if online {
		return OnlineNotice
	}
	return OfflineNotice
}

// sorted puts pairs into the order in which rows are locked by everybody, so that nobody waits in a circle.
func sorted(pairs func(yield func(pair) bool)) []pair {
	return slices.SortedFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.conference, b.conference), cmp.Compare(a.user, b.user))
	})
}
