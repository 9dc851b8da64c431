package notice

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

var (
	people = []string{"p1", "p2", "p3", "p33"}
	states = []string{Sent, Acked, Read}
)

// play is a random story told to the database and to the model.
type play struct {
	t   *testing.T
	n   *Notices
	m   *model
	rng *rand.Rand
}

// Whatever happens in whatever order, what users see, what counts say and what the log sums up is what a model says
// that knows no marks, no indexes and no states in columns.
func TestRandomStory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		rounds, steps := storetest.Size(20, 3), 250
		if db.Dialect() == store.MySQL {
			steps = 100
		}
		for range rounds {
			seed := rand.Uint64()
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				for _, table := range []string{"notices", "notice_deliveries", "notice_readers", "notice_marks", "notice_due", "notice_held"} {
					if _, err := db.SQL().Exec("DELETE FROM " + table); err != nil {
						t.Fatal(err)
					}
				}
				p := &play{t: t, n: open(db, time.Minute), m: &model{now: 1_800_000_000_000, known: map[string]int64{}}, rng: rand.New(rand.NewPCG(seed, 0))}
				p.n.now = func() int64 { return p.m.now }
				running(t, p.n)
				for range steps {
					p.step()
					p.check(p.view())
				}
				for _, user := range people {
					p.check(View{UserID: user, Whole: true})
				}
				p.checkLog()
			})
		}
	})
}

// running runs Notices until the test ends.
func running(t testing.TB, n *Notices) {
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { defer close(ended); _ = n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

func (p *play) pick(n int) bool { return p.rng.IntN(n) == 0 }

func (p *play) view() View {
	v := View{UserID: people[p.rng.IntN(len(people))], Whole: p.pick(3)}
	if !v.Whole {
		v.ConferenceID, v.ClientType = []string{"", "A", "B"}[p.rng.IntN(3)], []string{"app", "web"}[p.rng.IntN(2)]
	}
	return v
}

func (p *play) step() {
	switch p.rng.IntN(9) {
	case 0, 1:
		p.post()
	case 2:
		p.m.now += int64(p.rng.IntN(90_000))
		p.tasks()
	case 3, 4, 5:
		p.settle()
	case 6:
		v, state, category := p.view(), []string{Acked, Read}[p.rng.IntN(2)], []string{"", "a", "b"}[p.rng.IntN(3)]
		by := Settlement{State: state, At: p.m.now, SessionID: "all"}
		told := 0
		changed, err := p.n.SettleAll(p.t.Context(), v, category, by, func(_ context.Context, news []Settlement) error { told += len(news); return nil })
		if want := p.m.settleAll(v, state, category, by); err != nil || changed != want || told > changed || state == Acked && told != changed {
			p.t.Fatalf("settle all %+v %s %q: %d changed, want %d; %v", v, state, category, changed, want, err)
		}
	case 7:
		if s := p.any(); s != nil && p.pick(2) {
			fresh := s.e.State != Recalled
			if _, got, err := p.n.Recall(p.t.Context(), s.e.ID); err != nil || got != fresh {
				p.t.Fatalf("recall: %v, %v", got, err)
			}
			p.m.recall(s)
		}
	case 8:
		p.connect(people[p.rng.IntN(len(people))])
	}
}

func (p *play) any() *said {
	if len(p.m.notices) == 0 {
		return nil
	}
	return p.m.notices[p.rng.IntN(len(p.m.notices))]
}

func (p *play) post() {
	e := Entry{
		ID: id.At(time.UnixMilli(p.m.now)), Event: "notice", Category: []string{"a", "b"}[p.rng.IntN(2)], Stored: true, State: Sent, CreatedAt: p.m.now, SentAt: p.m.now,
		RequireAck: p.pick(2), ToAll: p.pick(3), Scope: []string{"", "", "A"}[p.rng.IntN(3)],
	}
	if p.pick(4) {
		e.ClientTypes = []string{"pc", "app"}
	}
	if p.pick(3) {
		e.SendAt = p.m.now + int64(p.rng.IntN(120_000)) + 1
		e.ID, e.SentAt, e.State = id.At(time.UnixMilli(e.SendAt)), 0, Queued
	}
	if p.pick(2) {
		e.ExpiresAt = p.m.now + int64(p.rng.IntN(200_000)) + 1
	}
	if p.pick(3) {
		e.UnreachedAt = p.m.now + int64(p.rng.IntN(100_000)) + 1
	}
	if e.ToAll {
		e.Except, e.Sent = some(p.rng, people, 4), 10
	} else {
		for _, user := range some(p.rng, people, 2) {
			d := Delivery{UserID: user, State: Queued, At: p.m.now}
			if e.SendAt == 0 && p.pick(2) {
				d.State, d.SessionID = Sent, "first"
				e.Sent++
			}
			e.Deliveries = append(e.Deliveries, d)
		}
	}
	posted, err := p.n.Post(p.t.Context(), Posting{Entry: e})
	if err != nil || posted != (Posted{e.ID, true}) {
		p.t.Fatalf("post: %+v, %v", posted, err)
	}
	p.m.post(e)
}

func (p *play) settle() {
	var list, want []Settlement
	for range 1 + p.rng.IntN(4) {
		if s := p.any(); s != nil {
			list = append(list, Settlement{NoticeID: s.e.ID, UserID: people[p.rng.IntN(len(people))], State: states[p.rng.IntN(3)], At: p.m.now, SessionID: "one"})
		}
	}
	for _, c := range list {
		if p.m.settle(c) {
			want = append(want, c)
		}
	}
	changed, err := p.n.Settle(p.t.Context(), list)
	if err != nil || !slices.Equal(changed, want) {
		p.t.Fatalf("settle %+v: changed %+v, want %+v; %v", list, changed, want, err)
	}
}

// tasks does what is due, as whoever owns the clock would.
func (p *play) tasks() {
	ctx := p.t.Context()
	tasks, err := p.n.Tasks(ctx, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	due := 0
	for _, s := range p.m.notices {
		for _, at := range s.tasks {
			if at <= p.m.now {
				due++
			}
		}
	}
	if len(tasks) != due {
		p.t.Fatalf("%d tasks are due, want %d", len(tasks), due)
	}
	for _, task := range tasks {
		s := p.m.find(task.NoticeID)
		if taken, err := p.n.Take(ctx, task); !taken || err != nil || s.tasks[task.Kind] != task.DueAt {
			p.t.Fatalf("take %+v: %v, %v", task, taken, err)
		}
		delete(s.tasks, task.Kind)
		switch task.Kind {
		case TaskSend:
			if s.e.State == Queued { // it may have expired before
				if s.e.SentAt = p.m.now; s.e.ToAll {
					s.e.State = Sent
				}
			}
			users := 0
			if s.e.ToAll {
				users = s.e.Sent
			}
			err = p.n.MarkSent(ctx, task.NoticeID, p.m.now, users)
		case TaskExpire:
			p.m.expire(s)
			err = p.n.Expire(ctx, task.NoticeID)
		case TaskUnreached:
			var users []string
			if users, err = p.n.Unreached(ctx, task.NoticeID); !s.e.ToAll {
				expect(p.t, append([]string{}, users...), append([]string{}, p.m.unreached(s)...))
			}
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *play) connect(user string) {
	if _, known := p.m.known[user]; !known {
		p.m.known[user] = p.m.now
	}
	waiting, err := p.n.Waiting(p.t.Context(), []string{user, user})
	if err != nil {
		p.t.Fatal(err)
	}
	whole := View{UserID: user, Whole: true}
	expect(p.t, waiting[user], Waiting{Unread: p.m.unread(whole).Total > 0, Unacked: len(p.m.unacked(whole)) > 0})
}

// check compares what a view shows with what it must.
func (p *play) check(v View) {
	p.t.Helper()
	unread, err := p.n.Unread(p.t.Context(), v)
	if err != nil {
		p.t.Fatal(err)
	}
	expect(p.t, unread, p.m.unread(v))
	q := InboxQuery{Limit: 1 + p.rng.IntN(20), Category: []string{"", "", "b"}[p.rng.IntN(3)], UnreadOnly: p.pick(3)}
	expect(p.t, pages(p.t, p.n, v, q), p.m.inbox(v, q.Category, q.UnreadOnly))
	items, err := p.n.Unacked(p.t.Context(), v, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	expect(p.t, lines(items), p.m.unacked(v))
	var ids, want []string
	for _, s := range p.m.notices {
		if ids = append(ids, s.e.ID); p.m.shows(s, v) {
			want = append(want, s.e.ID)
		}
	}
	reached, err := p.n.Reaches(p.t.Context(), v, ids)
	if err != nil || !slices.Equal(reached, want) {
		p.t.Fatalf("reaches %v, want %v; %v", reached, want, err)
	}
}

// checkLog compares states and sums. What a mark has read is in no sum.
func (p *play) checkLog() {
	for _, s := range p.m.notices {
		e, err := p.n.Get(p.t.Context(), s.e.ID)
		if err != nil {
			p.t.Fatal(err)
		}
		sent, acked, read := s.sums()
		if s.e.ToAll {
			if e.Sent != 10 || e.Acked != acked || e.Read > read {
				p.t.Errorf("to all, %s: %d %d %d, want %d %d and at most %d", e.ID, e.Sent, e.Acked, e.Read, sent, acked, read)
			}
			continue
		}
		expect(p.t, []any{e.State, e.Sent, e.Acked, e.Read}, []any{s.e.State, sent, acked, read})
		items, _, err := p.n.Deliveries(p.t.Context(), s.e.ID, "", 0)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, d := range items {
			b := s.boxes[d.UserID]
			expect(p.t, []any{d.State, d.SessionID, d.AckedAt > 0, d.ReadAt > 0}, []any{b.state, b.session, b.acked, b.read})
		}
	}
}

// pages reads an inbox page by page.
func pages(t testing.TB, n *Notices, v View, q InboxQuery) []line {
	t.Helper()
	all := []line{}
	for {
		items, next, err := n.Inbox(t.Context(), v, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines(items)...)
		if q.Cursor = next; next == "" {
			return all
		}
	}
}

func lines(items []Item) []line {
	lines := make([]line, len(items))
	for i, item := range items {
		lines[i] = line{item.ID, item.Read, item.Acked}
	}
	return lines
}
