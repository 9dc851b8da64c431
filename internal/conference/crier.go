package conference

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/webhook"
)

const (
	// sweepEvery is how often announcements that are due are looked for: what debounce held back, and what a
	// process that died had still to say.
	sweepEvery = 200 * time.Millisecond
	// cryBatch is how many announcements are decided in one transaction.
	cryBatch = 200
	// cryQueue is how many may wait; beyond it the sweep finds them, as each is recorded in the database.
	cryQueue = 20_000
)

// crier announces who came and who went. Everything it has to say is recorded in the database in the transaction of
// the fact, so that its queue in memory is only there to be quick.
type crier struct {
	house *House
	wake  chan struct{}

	mu      sync.Mutex // guards waiting
	waiting []notice.Subject
}

func newCrier(h *House) *crier { return &crier{house: h, wake: make(chan struct{}, 1)} }

// Record notes, in the transaction that ctx carries, what follows from changes: whom they are to be announced to,
// what the backend is told, and whose sharing must be looked after. Presence calls it before it commits, under the
// locks of the conferences.
func (h *House) Record(ctx context.Context, changes []presence.Change) error {
	var pending []notice.Pending
	for _, c := range changes {
		if announced(c) {
			pending = append(pending, notice.Pending{ConferenceID: c.ConferenceID, UserID: c.UserID})
		}
	}
	if len(pending) > 0 {
		if err := h.Notices.Record(ctx, pending); err != nil {
			return err
		}
	}
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if err := h.watchShares(ctx, tx, changes); err != nil {
			return err
		}
		return h.Webhooks.Append(ctx, comingsAndGoings(changes))
	})
}

// comingsAndGoings returns what the backend is told of changes.
func comingsAndGoings(changes []presence.Change) []webhook.Event {
	var events []webhook.Event
	after := map[string]int{} // who went and who came in the same transaction never left a room empty
	for _, c := range changes {
		after[c.ConferenceID] = c.Online
	}
	for _, c := range changes {
		if !announced(c) {
			continue
		}
		e := webhook.Event{Type: "presence.online", ConferenceID: c.ConferenceID, At: c.At, Data: map[string]any{"userId": c.UserID, "userName": c.UserName, "online": c.Online}}
		if c.To == presence.Offline {
			e.Type, e.Data["reason"] = "presence.offline", string(c.Reason)
		}
		events = append(events, e)
		if c.Online == 0 && after[c.ConferenceID] == 0 {
			events = append(events, webhook.Event{Type: "conference.empty", ConferenceID: c.ConferenceID, At: c.At, Data: map[string]any{"online": 0}})
		}
	}
	return events
}

// Changed has what changed pushed and announced. Presence calls it after it has committed; it does not block.
func (h *House) Changed(changes []presence.Change) {
	var subjects []notice.Subject
	for _, c := range changes {
		h.mark(c.ConferenceID, aboutPeople, nil)
		h.Cluster.Wake(c.ConferenceID, false)
		if announced(c) {
			subjects = append(subjects, notice.Subject{ConferenceID: c.ConferenceID, UserID: c.UserID, UserName: c.UserName, Online: c.To != presence.Offline, Reason: string(c.Reason), Count: c.Online, At: c.At})
		}
	}
	h.crier.add(subjects)
}

// announced reports whether a change is one that people are told of: a user came or went. That he is reconnecting,
// or has another device, the roster says.
func announced(c presence.Change) bool {
	return (c.From == presence.Offline) != (c.To == presence.Offline)
}

func (c *crier) add(subjects []notice.Subject) {
	if len(subjects) == 0 {
		return
	}
	c.mu.Lock()
	if len(c.waiting)+len(subjects) <= cryQueue {
		c.waiting = append(c.waiting, subjects...)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *crier) take() []notice.Subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), cryBatch)
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	return batch
}

// run announces until ctx ends.
func (c *crier) run(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			for batch := c.take(); len(batch) > 0 && ctx.Err() == nil; batch = c.take() {
				c.house.Net.Call("announce", func() { c.announce(ctx, batch) })
			}
		case <-sweep.C:
			c.house.Net.Call("announce what is due", func() { c.sweep(ctx) })
		}
	}
}

// sweep announces what is due by now.
func (c *crier) sweep(ctx context.Context) {
	due, err := c.house.Notices.Due(ctx, cryBatch)
	if err == nil && len(due) > 0 {
		var subjects []notice.Subject
		if subjects, err = c.truth(ctx, due); err == nil {
			c.announce(ctx, subjects)
		}
	}
	if ctx.Err() == nil {
		c.house.note("look for announcements that are due", err)
	}
}

// truth reads what is to be said of each now.
func (c *crier) truth(ctx context.Context, due []notice.Pending) ([]notice.Subject, error) {
	pairs := make([][2]string, 0, len(due))
	for _, d := range due {
		pairs = append(pairs, [2]string{d.ConferenceID, d.UserID})
	}
	truths, err := c.house.Presence.StateOf(ctx, pairs)
	if err != nil {
		return nil, err
	}
	subjects := make([]notice.Subject, 0, len(due))
	for i, d := range due {
		t := truths[pairs[i]]
		subjects = append(subjects, notice.Subject{ConferenceID: d.ConferenceID, UserID: d.UserID, UserName: t.UserName, Online: t.State != presence.Offline, Reason: string(t.Reason), Count: t.Online, At: now(), Mark: d.Mark})
	}
	return subjects, nil
}

// announce decides and commits, and has the rooms told on all nodes. What fails is still recorded and found by the next sweep.
// Where there are other nodes, what is said is posted in that same transaction: a node that dies behind its commit has told
// nobody here, but its letters are read.
func (c *crier) announce(ctx context.Context, subjects []notice.Subject) {
	within := c.post
	if c.house.Cluster.IsAlone() {
		within = nil
	}
	said, err := c.house.Notices.Announce(ctx, subjects, within)
	if err == nil && within == nil {
		err = c.post(ctx, said)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.house.Log.Warn("could not announce, the next sweep will", slog.Int("subjects", len(subjects)), slog.Any("error", err))
		}
		return
	}
	for _, a := range said {
		c.house.outside.tell(a)
	}
}

// post has announcements emitted in their rooms, but for the sockets of whom they are about.
func (c *crier) post(ctx context.Context, said []notice.Announcement) error {
	letters := make([]hall.Letter, len(said))
	for i, a := range said {
		var err error
		to := hall.Audience{All: true, ConferenceID: a.ConferenceID, Except: []string{a.UserID}}
		if letters[i], err = cluster.EmitLetter(to, a.Event, a.Message); err != nil {
			return err
		}
	}
	return c.house.Cluster.Post(ctx, letters...)
}
