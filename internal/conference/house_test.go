package conference

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	"rollcall/internal/webhook"
)

// fakeHall has one socket in every room and remembers what it was given.
type fakeHall struct {
	Hall
	mu      sync.Mutex
	trees   map[string]json.RawMessage // the newest of each conference
	rosters []RosterPush
	events  []string
	ended   []string
	said    []spoken
	sockets []hall.Socket // who Find finds; nil: anna
	trip    func(string)  // called by every method, with its name
}

// spoken is an event as a hall was told to say it, and when.
type spoken struct {
	event, payload string
	to             hall.Audience
	at             int64
}

func (h *fakeHall) Occupancy(string) int { h.called("Occupancy"); return 1 }
func (h *fakeHall) Find(hall.Audience) []hall.Socket {
	h.called("Find")
	if h.sockets != nil {
		return h.sockets
	}
	return []hall.Socket{{UserID: "anna"}}
}
func (h *fakeHall) Push(conferenceID string, t *TreePush, r *RosterPush) int {
	h.called("Push")
	h.do(func() {
		if t != nil {
			if h.trees == nil {
				h.trees = map[string]json.RawMessage{}
			}
			h.trees[conferenceID] = t.Tree
		}
		if r != nil {
			h.rosters = append(h.rosters, *r)
		}
	})
	return 1
}
func (h *fakeHall) EmitAll(events []hall.Event) {
	h.called("EmitAll")
	h.do(func() {
		for _, e := range events {
			if e.To.All {
				h.events = append(h.events, e.Name)
			}
			h.said = append(h.said, spoken{e.Name, string(e.Args[0]), e.To, now()})
		}
	})
}
func (h *fakeHall) End(_ hall.Audience, reason string) int {
	h.called("End")
	h.do(func() { h.ended = append(h.ended, reason) })
	return 1
}
func (h *fakeHall) Holds(string) bool           { return true }
func (h *fakeHall) EndSession(_, reason string) { h.End(hall.Audience{}, reason) }
func (h *fakeHall) do(f func())                 { h.mu.Lock(); defer h.mu.Unlock(); f() }

func (h *fakeHall) called(method string) {
	var trip func(string)
	if h.do(func() { trip = h.trip }); trip != nil {
		trip(method)
	}
}

// lastTree returns the newest tree that was pushed to the room of a conference.
func (h *fakeHall) lastTree(conferenceID string) (t map[string]json.RawMessage) {
	h.do(func() {
		if tree := h.trees[conferenceID]; tree != nil {
			_ = json.Unmarshal(tree, &t)
		}
	})
	return t
}

// heard returns what was said under the name of an event.
func (h *fakeHall) heard(event string) (list []spoken) {
	h.do(func() {
		for _, s := range h.said {
			if s.event == event {
				list = append(list, s)
			}
		}
	})
	return list
}

// built is a running house with its presence.
type built struct {
	*House
	hall     *fakeHall
	presence *presence.Presence
	registry *prometheus.Registry
	stop     func() // ends the house, not its presence, and waits
}

func build(t *testing.T, db *store.DB, change func(*Config)) *built {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &built{hall: &fakeHall{}}
	b.presence = presence.New(presence.Config{
		DB: db, Node: "n1", Grace: grace, Heartbeat: time.Second, NodeTimeout: 5 * time.Second, Duplicates: "multi", Log: log, Metrics: prometheus.NewRegistry(),
		Record:  func(ctx context.Context, c []presence.Change) error { return b.Record(ctx, c) },
		Changed: func(c []presence.Change) { b.Changed(c) },
	})
	n := notice.New(notice.Config{DB: db, Prefix: "t", Window: time.Second, DetailMax: 200, Log: log, Metrics: prometheus.NewRegistry()})
	backend, err := webhook.New(webhook.Config{DB: db, Log: log, Endpoints: []webhook.Endpoint{{URL: "http://127.0.0.1:9/hook"}, {URL: "http://127.0.0.1:9/plain", Plain: true}}})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{DB: db, Presence: b.presence, Notices: n, Hall: b.hall, Webhooks: backend, AutoCreate: true, MaxTreeBytes: 4096, PollInterval: 100 * time.Millisecond, DetailMax: 200, LogTree: "summary", Grace: grace, Log: log}
	if change != nil {
		change(&c)
	}
	b.run(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{n.Run, b.presence.Run} {
		all.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	<-b.presence.Ready()
	return b
}

// grace is how long who is lost may take to come back.
const grace = 100 * time.Millisecond

// run makes a house of c and runs it until stop.
func (b *built) run(t *testing.T, c Config) {
	t.Helper()
	b.registry = prometheus.NewRegistry()
	c.Metrics = b.registry
	b.House = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.House.Run(ctx) }()
	b.stop = func() { cancel(); <-done }
	t.Cleanup(b.stop)
}

// again is another house on the same database and presence: the same one after a restart, or that of another node.
func (b *built) again(t *testing.T) *built {
	t.Helper()
	other := &built{hall: &fakeHall{}, presence: b.presence}
	c := b.Config
	c.Hall, c.Cluster = other.hall, nil
	other.run(t, c)
	return other
}

// told returns what stands in the outbox for the meeting backend, in order: "type data" without seq and conferenceId.
func (b *built) told(t *testing.T, conferenceID string) (list []string) {
	t.Helper()
	var bodies []string
	err := b.DB.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Table("webhook_outbox").Where("conference_id = ?", conferenceID).Order("url, seq").Pluck("body", &bodies).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		var e struct {
			Type string
			Data map[string]any
		}
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == "" { // told in the old way
			list = append(list, body)
			continue
		}
		for _, key := range []string{"conferenceId", "seq", "at"} {
			if e.Data[key] == nil {
				t.Errorf("%s is missing in %s", key, body)
			}
			delete(e.Data, key)
		}
		data, _ := json.Marshal(e.Data)
		list = append(list, e.Type+" "+string(data))
	}
	return list
}

// rows counts the rows of a table for a conference.
func (b *built) rows(t *testing.T, table, conferenceID string) (n int64) {
	t.Helper()
	err := b.DB.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Table(table).Where("conference_id = ?", conferenceID).Count(&n).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// section returns a section of the tree as it is committed.
func (b *built) section(t *testing.T, conferenceID, name string) string {
	t.Helper()
	text, _, err := b.Tree(t.Context(), conferenceID)
	var tree map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &tree) != nil {
		t.Fatalf("tree %s: %v", text, err)
	}
	return string(tree[name])
}

// patch patches the tree, as a backend does over REST.
func (b *built) patch(t *testing.T, conferenceID, patch string) {
	t.Helper()
	if _, err := b.Patch(t.Context(), conferenceID, json.RawMessage(patch), nil); err != nil {
		t.Fatalf("patch %s: %v", patch, err)
	}
}

// arrive opens a session of a user.
func (b *built) arrive(t *testing.T, user, conferenceID string) string {
	t.Helper()
	return b.arriveBy(t, user, conferenceID, "web")
}

func (b *built) arriveBy(t *testing.T, user, conferenceID, clientType string) string {
	t.Helper()
	s := newSession(user, conferenceID)
	s.ClientType = clientType
	if _, err := b.Arrive(t.Context(), s, Free); err != nil {
		t.Fatal(err)
	}
	return s.ID
}

func newSession(user, conferenceID string) presence.Session {
	return presence.Session{ID: id.New(), UserID: user, ConferenceID: conferenceID, ClientType: "web", OpenedAt: time.Now()}
}

// counted returns the value of a counter.
func (b *built) counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// shows waits until the pushed tree has the section as given.
func (b *built) shows(t *testing.T, conferenceID, section, want string) {
	t.Helper()
	storetest.Eventually(t, func() bool { return string(b.hall.lastTree(conferenceID)[section]) == want }, "the pushed tree does not show "+section+" = "+want)
}

func TestArrivalsAreCountedPushedAndAnnounced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		anna := b.arrive(t, "anna", "42")
		b.arrive(t, "ben", "42")
		b.shows(t, "42", "headData", `{"onLineNumber":2}`)
		b.Leave(anna, presence.Left)
		b.shows(t, "42", "headData", `{"onLineNumber":1}`)
		storetest.Eventually(t, func() (ok bool) {
			b.hall.do(func() { ok = len(b.hall.events) == 3 })
			return ok
		}, "two arrivals and a departure were not announced")
		storetest.Eventually(t, func() bool {
			_, roster := b.Versions("42")
			s, ok := b.Welcome("42")
			return ok && s.RosterVersion == roster && roster >= 3
		}, "the snapshot in memory is not the newest")
		b.hall.do(func() {
			for i, r := range b.hall.rosters {
				if i > 0 && (r.From != b.hall.rosters[i-1].Version || r.Diff == nil) {
					t.Errorf("roster push %d leads from %d to %d with diff %s, the one before led to %d", i, r.From, r.Version, r.Diff, b.hall.rosters[i-1].Version)
				}
			}
		})
	})
}

func TestEndedConferenceIsFrozen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, yes, no := build(t, db, nil), true, false
		ctx := t.Context()
		if created, err := b.Register(ctx, "42", Registration{Status: json.RawMessage("1")}); err != nil || !created {
			t.Fatal(created, err)
		}
		b.arrive(t, "anna", "42")
		b.shows(t, "42", "headData", `{"onLineNumber":1}`)
		if _, err := b.Register(ctx, "42", Registration{Status: json.RawMessage("2"), Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Arrive(ctx, newSession("ben", "42"), Free); err != ErrOver { // at once, not when the next snapshot is read
			t.Errorf("right after the end: %v", err)
		}
		b.shows(t, "42", "conferenceStatus", "2")
		if _, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":{}}`), nil); err != ErrEnded {
			t.Errorf("a patch of an ended conference: %v", err)
		}
		if got := b.stateOf(t, "anna"); got != presence.Online {
			t.Errorf("who was there when it ended is %s", got)
		}
		if _, err := b.Register(ctx, "42", Registration{Ended: &no}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":{"a":1}}`), nil); err != nil {
			t.Errorf("a patch of a conference that lives again: %v", err)
		}
		b.arrive(t, "ben", "42")
	})
}

func TestVersionsSurviveDeletion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		ctx := t.Context()
		if _, err := b.Register(ctx, "42", Registration{}); err != nil {
			t.Fatal(err)
		}
		before, err := b.Patch(ctx, "42", json.RawMessage(`{"topicInfo":{"a":1}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(ctx, "42"); err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(ctx, "42"); err != ErrNoConference {
			t.Errorf("removing it again: %v", err)
		}
		after, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":{"b":1}}`), nil)
		if err != nil || after.Version <= before.Version {
			t.Errorf("version %d after %d, %v", after.Version, before.Version, err)
		}
		text, _, err := b.Tree(ctx, "42")
		var tree map[string]json.RawMessage
		if err != nil || json.Unmarshal(text, &tree) != nil || tree["topicInfo"] != nil {
			t.Errorf("the new conference shows the old one: %s, %v", text, err)
		}
		if b.hall.ended[0] != "conference_deleted" {
			t.Errorf("sockets were ended with %v", b.hall.ended)
		}
	})
}

// The first push of a burst goes at once; later ones share, at a pace that depends on what is new and on what pushing it takes.
func TestInterval(t *testing.T) {
	h := &House{}
	const ms = time.Millisecond
	for _, c := range []struct {
		what                news
		cost, pause, atRest time.Duration
	}{
		{aboutContent, 0, 0, 0}, {aboutContent, 2 * ms, 8 * ms, 8 * ms}, {aboutContent | aboutPeople, 60 * ms, 240 * ms, 240 * ms},
		{aboutContent, 300 * ms, time.Second, time.Second}, {aboutPeople, 0, 100 * ms, 100 * ms}, {aboutPeople, 5 * ms, 100 * ms, 100 * ms},
		{aboutPeople, 20 * ms, 320 * ms, 100 * ms}, {aboutPeople, 90 * ms, time.Second, 360 * ms}, {aboutPeople, time.Second, time.Second, time.Second},
	} {
		if pause, atRest := h.interval(c.what, c.cost); pause != c.pause || atRest != c.atRest {
			t.Errorf("news %d after a push of %v: %v and %v, want %v and %v", c.what, c.cost, pause, atRest, c.pause, c.atRest)
		}
	}
	h.PushMinInterval = 300 * ms
	if pause, atRest := h.interval(aboutContent, time.Microsecond); pause != h.PushMinInterval || atRest != pause {
		t.Errorf("with a configured interval: %v and %v", pause, atRest)
	}
}

// While people come and come the number waits for its turn; once nobody does any more it is shown soon.
func TestComesToRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{house: &House{ctx: t.Context()}, cost: 60 * time.Millisecond, dirty: aboutPeople, pushed: time.Now()}
		for range 10 {
			time.Sleep(50 * time.Millisecond)
			k.heard = time.Now()
			want := max(240*time.Millisecond-time.Since(k.pushed), 100*time.Millisecond)
			if wait, ok := k.due(); !ok || wait != want {
				t.Fatalf("%v after the push: %v to wait, not %v; %v", time.Since(k.pushed), wait, want, ok)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if wait, _ := k.due(); wait > 0 || k.dirty != 0 {
			t.Errorf("%v to wait at rest", wait)
		}
	})
}
