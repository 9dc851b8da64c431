package conference

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// fakeHall has one socket in every room and remembers what it was given.
type fakeHall struct {
	Hall
	mu      sync.Mutex
	trees   []json.RawMessage
	rosters []RosterPush
	events  []string
	ended   []string
}

func (h *fakeHall) Occupancy(string) int   { return 1 }
func (h *fakeHall) Find(Audience) []Socket { return []Socket{{UserID: "anna"}} }
func (h *fakeHall) PushTree(_ string, _ int64, tree json.RawMessage) {
	h.do(func() { h.trees = append(h.trees, tree) })
}
func (h *fakeHall) PushRoster(_ string, r RosterPush) {
	h.do(func() { h.rosters = append(h.rosters, r) })
}
func (h *fakeHall) EmitRoom(_, _, event string, _ json.RawMessage) {
	h.do(func() { h.events = append(h.events, event) })
}
func (h *fakeHall) End(_ Audience, reason string) int {
	h.do(func() { h.ended = append(h.ended, reason) })
	return 1
}
func (h *fakeHall) EndSession(_, reason string) { h.End(Audience{}, reason) }
func (h *fakeHall) do(f func())                 { h.mu.Lock(); defer h.mu.Unlock(); f() }

// lastTree returns the newest tree that was pushed.
func (h *fakeHall) lastTree() (t map[string]json.RawMessage) {
	h.do(func() {
		if len(h.trees) > 0 {
			_ = json.Unmarshal(h.trees[len(h.trees)-1], &t)
		}
	})
	return t
}

// built is a running house with its presence.
type built struct {
	*House
	hall     *fakeHall
	presence *presence.Presence
}

func build(t *testing.T, db *store.DB, change func(*Config)) *built {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := &built{hall: &fakeHall{}}
	b.presence = presence.New(presence.Config{
		DB: db, Node: "n1", Grace: 50 * time.Millisecond, Heartbeat: time.Second, NodeTimeout: 5 * time.Second, Duplicates: "multi", Log: log, Metrics: prometheus.NewRegistry(),
		Record:  func(ctx context.Context, c []presence.Change) error { return b.Record(ctx, c) },
		Changed: func(c []presence.Change) { b.Changed(c) },
	})
	n := notice.New(notice.Config{DB: db, Prefix: "t", Window: time.Second, DetailMax: 200, Log: log, Metrics: prometheus.NewRegistry()})
	c := Config{DB: db, Presence: b.presence, Notices: n, Hall: b.hall, AutoCreate: true, MaxTreeBytes: 4096, PollInterval: 100 * time.Millisecond, DetailMax: 200, LogTree: "summary", Log: log, Metrics: prometheus.NewRegistry()}
	if change != nil {
		change(&c)
	}
	b.House = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{n.Run, b.presence.Run, b.Run} {
		all.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); all.Wait() })
	<-b.presence.Ready()
	return b
}

// arrive opens a session of a user.
func (b *built) arrive(t *testing.T, user, conferenceID string) string {
	t.Helper()
	s := presence.Session{ID: id.New(), UserID: user, ConferenceID: conferenceID, ClientType: "web", OpenedAt: time.Now()}
	if _, err := b.Arrive(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// shows waits until the pushed tree has the section as given.
func (b *built) shows(t *testing.T, section, want string) {
	t.Helper()
	storetest.Eventually(t, func() bool { return string(b.hall.lastTree()[section]) == want }, "the pushed tree does not show "+section+" = "+want)
}

func TestArrivalsAreCountedPushedAndAnnounced(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		anna := b.arrive(t, "anna", "42")
		b.arrive(t, "ben", "42")
		b.shows(t, "headData", `{"onLineNumber":2}`)
		b.Leave(anna, presence.Left)
		b.shows(t, "headData", `{"onLineNumber":1}`)
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
		b.shows(t, "headData", `{"onLineNumber":1}`)
		if _, err := b.Register(ctx, "42", Registration{Status: json.RawMessage("2"), Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		if err := b.Admits(ctx, "42"); err != ErrOver { // at once, not when the next snapshot is read
			t.Errorf("right after the end: %v", err)
		}
		b.shows(t, "conferenceStatus", "2")
		if _, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":{}}`), nil); err != ErrEnded {
			t.Errorf("a patch of an ended conference: %v", err)
		}
		if _, err := b.Arrive(ctx, presence.Session{ID: id.New(), UserID: "ben", ConferenceID: "42", OpenedAt: time.Now()}); err != ErrOver {
			t.Errorf("an arrival at an ended conference: %v", err)
		}
		if _, err := b.Register(ctx, "42", Registration{Ended: &no}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Patch(ctx, "42", json.RawMessage(`{"timer":{"a":1}}`), nil); err != nil {
			t.Errorf("a patch of a conference that lives again: %v", err)
		}
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

func TestUnknownConference(t *testing.T) {
	b := build(t, storetest.Open(t, store.SQLite), func(c *Config) { c.AutoCreate = false })
	if err := b.Admits(t.Context(), "42"); err != ErrUnknown {
		t.Errorf("an unregistered conference: %v", err)
	}
	if _, err := b.Register(t.Context(), "42", Registration{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Admits(t.Context(), "42"); err != nil {
		t.Errorf("a registered conference: %v", err)
	}
}

// The first push of a burst goes at once; later ones share, at a pace that depends on what is new and on the room.
func TestInterval(t *testing.T) {
	h := &House{}
	for _, c := range []struct {
		what    news
		sockets int
		want    time.Duration
	}{
		{aboutContent, 0, 0}, {aboutContent, 10, 10 * time.Millisecond}, {aboutContent | aboutPeople, 300, 300 * time.Millisecond}, {aboutContent, 5000, time.Second},
		{aboutPeople, 1, 100 * time.Millisecond}, {aboutPeople, 20, 100 * time.Millisecond}, {aboutPeople, 21, time.Second},
	} {
		if got := h.interval(c.what, c.sockets); got != c.want {
			t.Errorf("news %d in a room of %d: %v, want %v", c.what, c.sockets, got, c.want)
		}
	}
	h.PushMinInterval = 300 * time.Millisecond
	if got := h.interval(aboutContent, 1); got != h.PushMinInterval {
		t.Errorf("with a configured interval: %v", got)
	}
}
