package notice

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// model is what inboxes must be, written in the plainest way: every user has a box for every notice that he did
// something with or that is addressed to him, and there are no marks.
type model struct {
	now     int64
	known   map[string]int64
	notices []*said
}

// said is a notice in the model.
type said struct {
	e     Entry
	boxes map[string]*box
	tasks map[string]int64
}

// box is a notice for a user. in is false once it expired or was recalled.
type box struct {
	state, session  string
	acked, read, in bool
}

var ranks = map[string]int{"": 0, Queued: 0, Unreached: 0, Sent: 1, Acked: 2, Read: 3}

func (m *model) knownAt(user string) int64 {
	if at, ok := m.known[user]; ok {
		return at
	}
	return m.now
}

func (m *model) post(e Entry) {
	s := &said{e: e, boxes: map[string]*box{}, tasks: map[string]int64{}}
	for _, d := range e.Deliveries {
		s.boxes[d.UserID] = &box{state: d.State, session: d.SessionID, in: true}
	}
	for kind, at := range map[string]int64{TaskSend: e.SendAt, TaskExpire: e.ExpiresAt, TaskUnreached: e.UnreachedAt} {
		if at != 0 {
			s.tasks[kind] = at
		}
	}
	m.notices = append(m.notices, s)
}

func (m *model) find(noticeID string) *said {
	for _, s := range m.notices {
		if s.e.ID == noticeID {
			return s
		}
	}
	return nil
}

func (m *model) live(s *said) bool { return s.e.ExpiresAt == 0 || s.e.ExpiresAt > m.now }

// shows reports whether a notice is in the inbox that a view shows.
func (m *model) shows(s *said, v View) bool {
	if s.e.SentAt == 0 || s.e.State == Recalled {
		return false
	}
	if !v.Whole {
		if s.e.Scope != "" && s.e.Scope != v.ConferenceID || len(s.e.ClientTypes) > 0 && !slices.Contains(s.e.ClientTypes, v.ClientType) {
			return false
		}
	}
	if s.e.ToAll {
		return !slices.Contains(s.e.Except, v.UserID) && (s.e.ExpiresAt == 0 || m.knownAt(v.UserID) <= s.e.ExpiresAt)
	}
	b := s.boxes[v.UserID]
	return b != nil && b.in && (m.live(s) || ranks[b.state] > 0)
}

func (s *said) box(user string) box {
	if b := s.boxes[user]; b != nil {
		return *b
	}
	return box{}
}

// settle does what a settlement does and reports whether it was news.
func (m *model) settle(c Settlement) bool {
	s := m.find(c.NoticeID)
	if s == nil || s.e.State == Recalled || s.e.SentAt == 0 {
		return false
	}
	b := s.boxes[c.UserID]
	if s.e.ToAll && (slices.Contains(s.e.Except, c.UserID) || s.e.ExpiresAt != 0 && m.knownAt(c.UserID) > s.e.ExpiresAt) || !s.e.ToAll && b == nil {
		return false
	}
	if b == nil && c.State == Sent { // to all, only what a user does makes a row
		return false
	}
	if b == nil {
		b = &box{}
	}
	if _, open := ranks[b.state]; !open || ranks[c.State] <= ranks[b.state] {
		return false
	}
	s.boxes[c.UserID] = b
	b.state, b.session = c.State, c.SessionID
	b.acked, b.read = b.acked || c.State == Acked, b.read || c.State == Read
	if s.e.State == Queued {
		s.e.State = Sent
	}
	return true
}

func (m *model) settleAll(v View, state, category string, by Settlement) int {
	changed := 0
	for _, s := range m.notices {
		b := s.box(v.UserID)
		if !m.shows(s, v) || category != "" && s.e.Category != category || b.read {
			continue
		}
		if state == Acked && (b.acked || !m.live(s) || s.e.ToAll && !s.e.RequireAck) {
			continue
		}
		by.NoticeID, by.UserID, by.State = s.e.ID, v.UserID, state
		if m.settle(by) {
			changed++
		}
	}
	return changed
}

func (m *model) unread(v View) Unread {
	u := Unread{ByCategory: map[string]int{}}
	for _, s := range m.notices {
		if m.shows(s, v) && m.live(s) && !s.box(v.UserID).read {
			u.Total++
			u.ByCategory[s.e.Category]++
		}
	}
	return u
}

// line is what tests compare of an item.
type line struct {
	ID          string
	Read, Acked bool
}

func (m *model) inbox(v View, category string, unreadOnly bool) []line {
	lines := []line{}
	for _, s := range m.notices {
		b := s.box(v.UserID)
		if m.shows(s, v) && (category == "" || s.e.Category == category) && (!unreadOnly || m.live(s) && !b.read) {
			lines = append(lines, line{s.e.ID, b.read, b.read || b.acked})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(b.ID, a.ID) })
	return lines
}

func (m *model) unacked(v View) []line {
	lines := m.inbox(v, "", true)
	slices.Reverse(lines)
	return slices.DeleteFunc(lines, func(l line) bool { return l.Acked || !m.find(l.ID).e.RequireAck })
}

func (m *model) recall(s *said) {
	s.e.State, s.tasks = Recalled, nil
	for _, b := range s.boxes {
		b.state, b.in = Recalled, false
	}
}

func (m *model) expire(s *said) {
	for _, b := range s.boxes {
		if b.state == Queued || b.state == Unreached {
			b.state, b.in = Expired, false
		}
	}
	if sent, _, _ := s.sums(); sent == 0 {
		s.e.State = Expired
	}
}

func (m *model) unreached(s *said) []string {
	var missed []string
	for user, b := range s.boxes {
		if b.state == Queued || b.state == Expired || b.state == Sent && s.e.RequireAck {
			b.state = Unreached
			missed = append(missed, user)
		}
	}
	slices.Sort(missed)
	return missed
}

// sums are those of a notice to users; to all, only marks are summed.
func (s *said) sums() (sent, acked, read int) {
	for _, b := range s.boxes {
		if ranks[b.state] > 0 || b.session != "" {
			sent++
		}
		if b.acked {
			acked++
		}
		if b.read {
			read++
		}
	}
	if s.e.ToAll {
		sent = max(sent, s.e.Sent)
	}
	return sent, acked, read
}

// some returns each of the things with the chance of one in n.
func some[T any](rng *rand.Rand, things []T, n int) []T {
	var chosen []T
	for _, t := range things {
		if rng.IntN(n) == 0 {
			chosen = append(chosen, t)
		}
	}
	return chosen
}
