package message

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
)

const (
	repeatsMost = 100_000 // pairs of notice and user that are waited for at most
	rounds      = 5       // how often a notice is sent again while its user is there
	resendBatch = 200     // pairs of one look, see notice.Over
)

// errand is how a notice is sent again. All its users share one.
type errand struct {
	frame       frame
	category    string
	scope       string
	clientTypes []string
	expiresAt   int64 // 0: never
}

func errandOf(e notice.Entry, f frame) *errand {
	return &errand{frame: f, category: e.Category, scope: e.Scope, clientTypes: e.ClientTypes, expiresAt: e.ExpiresAt}
}

// repeat is a user of whom an acknowledgement is awaited. Its place in the heap is -1 while resend has it.
type repeat struct {
	*errand
	user  string
	at    time.Time
	round int
	place int
}

// key is the notice and the user.
func (r *repeat) key() [2]string { return [2]string{r.frame.noticeID, r.user} }

// repeats are what this node will send again, by time. They live in memory: when the node dies its users connect anew,
// and connecting sends again what was not acknowledged. Safe for concurrent use.
type repeats struct {
	first time.Duration // pause before the first time; each later one is twice the one before
	wake  chan struct{}

	mu    sync.Mutex // guards the rest
	byKey map[string]map[string]*repeat
	count int
	heap  repeatHeap
}

func newRepeats(first time.Duration) *repeats {
	return &repeats{first: first, wake: make(chan struct{}, 1), byKey: map[string]map[string]*repeat{}}
}

// expect has a notice sent again to users until they acknowledge it.
func (m *Messages) expect(e *errand, users []string) {
	if lost := m.repeats.add(e, users); lost > 0 {
		m.metrics.dropped.WithLabelValues("resends").Add(float64(lost))
	}
}

// add returns for how many users there is no room. Users who are waited for already stay as they are.
func (r *repeats) add(e *errand, users []string) (lost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Now().Add(r.first)
	for _, user := range users {
		waiting := r.byKey[e.frame.noticeID]
		if waiting[user] != nil {
			continue
		}
		if r.count >= repeatsMost {
			lost++
			continue
		}
		if waiting == nil {
			waiting = map[string]*repeat{}
			r.byKey[e.frame.noticeID] = waiting
		}
		p := &repeat{errand: e, user: user, at: at}
		waiting[user] = p
		r.count++
		heap.Push(&r.heap, p)
	}
	nudge(r.wake)
	return lost
}

// end forgets a user of a notice, or with "" all of them.
func (r *repeats) end(noticeID, user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := r.byKey[noticeID]
	if user != "" {
		if p := waiting[user]; p != nil {
			r.forget(p)
		}
		return
	}
	for _, p := range waiting {
		r.forget(p)
	}
}

// endAll forgets a user of all notices of a category, "" being every one, that a view of his shows.
func (r *repeats) endAll(v notice.View, category string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, waiting := range r.byKey {
		p := waiting[v.UserID]
		if p == nil || category != "" && category != p.category {
			continue
		}
		if v.Whole || (p.scope == "" || p.scope == v.ConferenceID) && (len(p.clientTypes) == 0 || slices.Contains(p.clientTypes, v.ClientType)) {
			r.forget(p)
		}
	}
}

// forget needs mu.
func (r *repeats) forget(p *repeat) {
	waiting := r.byKey[p.frame.noticeID]
	if waiting[p.user] != p {
		return
	}
	if delete(waiting, p.user); len(waiting) == 0 {
		delete(r.byKey, p.frame.noticeID)
	}
	r.count--
	if p.place >= 0 {
		heap.Remove(&r.heap, p.place)
	}
}

// take returns what is due, at most so many, and how long it is to the next.
func (r *repeats) take(most int) (due []*repeat, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.heap) > 0 && len(due) < most {
		if next = time.Until(r.heap[0].at); next > 0 {
			return due, next
		}
		due = append(due, heap.Pop(&r.heap).(*repeat))
	}
	return due, time.Hour
}

// stillWaits reports whether nobody has ended p meanwhile.
func (r *repeats) stillWaits(p *repeat) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKey[p.frame.noticeID][p.user] == p
}

// again puts back what take returned, for its next round, or for the same one a little later.
func (r *repeats) again(p *repeat, sent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey[p.frame.noticeID][p.user] != p || p.place >= 0 {
		return
	}
	pause := retryPause
	if sent {
		p.round++
		pause = r.first << p.round
	}
	if p.round >= rounds {
		r.forget(p)
		return
	}
	p.at = time.Now().Add(pause)
	heap.Push(&r.heap, p)
}

func (r *repeats) drop(p *repeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(p)
}

func (r *repeats) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// resend waits for the next time and sends again what is still not acknowledged.
func (m *Messages) resend(ctx context.Context) error {
	due, next := m.repeats.take(resendBatch)
	if len(due) == 0 {
		t := time.NewTimer(next)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-m.repeats.wake:
		}
		return nil
	}
	pairs := make([][2]string, len(due))
	for i, p := range due {
		pairs[i] = p.key()
	}
	var done map[[2]string]bool
	err := m.Net.Try("look what is acknowledged", func() (err error) {
		done, err = m.Notices.Over(ctx, pairs)
		return err
	})
	if err != nil {
		for _, p := range due {
			m.repeats.again(p, false)
		}
		return err
	}
	waiting := map[*errand][]*repeat{}
	for _, p := range due {
		if done[p.key()] || p.expiresAt != 0 && p.expiresAt <= m.now() {
			m.repeats.drop(p)
		} else if m.repeats.stillWaits(p) {
			waiting[p.errand] = append(waiting[p.errand], p)
		}
	}
	for e, list := range waiting {
		if m.Net.Call("send a notice again", func() { m.repeatTo(e, list) }) {
			continue
		}
		for _, p := range list {
			m.repeats.again(p, true) // a round is over, so that what breaks is not tried for ever
		}
	}
	return nil
}

// repeatTo emits a notice again. Who has no fitting socket any more is brought it when he connects.
func (m *Messages) repeatTo(e *errand, list []*repeat) {
	users := make([]string, len(list))
	for i, p := range list {
		users[i] = p.user
	}
	slices.Sort(users)
	there := first(m.emit(hall.Audience{Users: users, ConferenceID: e.scope, ClientTypes: e.clientTypes}, e.frame))
	for _, p := range list {
		if _, is := there[p.user]; !is {
			m.repeats.drop(p)
			continue
		}
		m.metrics.resends.Inc()
		m.repeats.again(p, true)
	}
}

// repeatHeap orders by time; see container/heap.
type repeatHeap []*repeat

// Len implements heap.Interface.
func (h repeatHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h repeatHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

// Swap implements heap.Interface.
func (h repeatHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *repeatHeap) Push(x any) {
	p := x.(*repeat)
	p.place = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *repeatHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.place = -1
	return p
}
