package message

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	"rollcall/internal/webhook"
)

// heard is an event that a socket got.
type heard struct {
	session, noticeID, event string
	args                     []json.RawMessage
}

// fakeHall has the sockets of seats and notes what each hears. deaf loses all that is emitted, as a process does that is
// killed after a commit.
type fakeHall struct {
	mu      sync.Mutex // guards the rest
	seats   []hall.Socket
	aliases map[string]string // session -> alias
	deaf    bool
	before  func() // is called once, before the next emission
	heard   []heard
}

func (h *fakeHall) Find(to hall.Audience) (found []hall.Socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.seats {
		named := to.All || to.Lobby && s.ConferenceID == "" || slices.Contains(to.Users, s.UserID) ||
			slices.Contains(to.Sessions, s.SessionID) || h.aliases[s.SessionID] != "" && slices.Contains(to.Aliases, h.aliases[s.SessionID])
		fits := (to.ConferenceID == "" || to.ConferenceID == s.ConferenceID) && (len(to.ClientTypes) == 0 || slices.Contains(to.ClientTypes, s.ClientType))
		if named && fits && !slices.Contains(to.Except, s.UserID) && (to.ExceptOf == "" || to.ExceptOf != s.SessionID) {
			found = append(found, s)
		}
	}
	return found
}

func (h *fakeHall) EmitAll(events []hall.Event) {
	for _, e := range events {
		h.Emit(e.To, e.Name, e.Args...)
	}
}

func (h *fakeHall) Emit(to hall.Audience, event string, args ...json.RawMessage) []hall.Socket {
	return h.EmitAcked(to, "", event, args...)
}

func (h *fakeHall) End(hall.Audience, string) int { return 0 }

func (h *fakeHall) EmitAcked(to hall.Audience, noticeID, event string, args ...json.RawMessage) []hall.Socket {
	var before func()
	h.do(func() { before, h.before = h.before, nil })
	if before != nil {
		before()
	}
	found := h.Find(to)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deaf {
		return nil
	}
	for _, s := range found {
		h.heard = append(h.heard, heard{s.SessionID, noticeID, event, args})
	}
	return found
}

func (h *fakeHall) do(f func()) { h.mu.Lock(); defer h.mu.Unlock(); f() }

// of returns what a session heard of an event, or with "" of all.
func (h *fakeHall) of(session, event string) (list []heard) {
	h.do(func() {
		for _, e := range h.heard {
			if e.session == session && (event == "" || e.event == event) {
				list = append(list, e)
			}
		}
	})
	return list
}

// bench is running messages on a real database.
type bench struct {
	*Messages
	t    *testing.T
	hall *fakeHall
	stop func() // ends messages and notices, as a process that ends; presence stays
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open builds messages on db and runs them until the test ends.
func open(t *testing.T, db *store.DB, change ...func(*Messages)) *bench {
	t.Helper()
	b := &bench{t: t, hall: &fakeHall{aliases: map[string]string{}}}
	p := presence.New(presence.Config{DB: db, Node: id.New(), Grace: 30 * time.Second, Log: silent()})
	n := notice.New(notice.Config{DB: db, Window: time.Second, DetailMax: 200, Log: silent()})
	w, err := webhook.New(webhook.Config{DB: db, Endpoints: []webhook.Endpoint{{URL: "http://127.0.0.1:9/", Events: []string{"notice.acked", "notice.unreached"}}}, Log: silent()})
	if err != nil {
		t.Fatal(err)
	}
	b.Messages = New(Config{
		DB: db, Presence: p, Notices: n, Webhooks: w, Hall: b.hall, Cluster: cluster.Solo(db, b.hall, nil, silent()), AckTimeout: time.Minute, Log: silent(),
		Members:  func(context.Context, string, string) ([]string, error) { return []string{"anna", "ben", "anna"}, nil },
		PushTree: func(context.Context, string) (int64, error) { return 7, nil },
	})
	for _, f := range change {
		f(b.Messages)
	}
	ctx, cancel := context.WithCancel(context.Background())
	staying, leave := context.WithCancel(context.Background())
	var parts, rest sync.WaitGroup
	parts.Go(func() { _ = n.Run(ctx) })
	parts.Go(func() { _ = b.Run(ctx) })
	rest.Go(func() { _ = p.Run(staying) })
	b.stop = func() { cancel(); parts.Wait() }
	t.Cleanup(func() { b.stop(); leave(); rest.Wait() })
	<-p.Ready()
	return b
}

// sit seats a socket without telling anybody.
func (b *bench) sit(user, conferenceID, clientType string) hall.Socket {
	s := hall.Socket{SessionID: id.New(), UserID: user, UserName: user + "!", ConferenceID: conferenceID, ClientType: clientType, DeviceID: "d-" + user, IP: "192.0.2.1"}
	b.hall.do(func() { b.hall.seats = append(b.hall.seats, s) })
	return s
}

// arrive seats a socket as the door does: first the rooms, then Arrived.
func (b *bench) arrive(user, conferenceID, clientType string) hall.Socket {
	s := b.sit(user, conferenceID, clientType)
	b.Arrived(s)
	return s
}

func (b *bench) leave(s hall.Socket) {
	b.hall.do(func() {
		b.hall.seats = slices.DeleteFunc(b.hall.seats, func(o hall.Socket) bool { return o.SessionID == s.SessionID })
	})
}

// post sends a notice and fails the test at once if that fails.
func (b *bench) post(n Notice) Sent {
	b.t.Helper()
	if n.Event == "" {
		n.Event = "notice"
	}
	if n.Category == "" {
		n.Category = "system"
	}
	sent, err := b.Send(b.t.Context(), n)
	if err != nil {
		b.t.Fatal(err)
	}
	return sent
}

// became returns what became of a notice for a user.
func (b *bench) became(noticeID, user string) notice.Delivery {
	b.t.Helper()
	list, _, err := b.Notices.Deliveries(b.t.Context(), noticeID, "", 200)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range list {
		if d.UserID == user {
			return d
		}
	}
	return notice.Delivery{}
}

func (b *bench) becomes(noticeID, user, state string) {
	b.t.Helper()
	storetest.Eventually(b.t, func() bool { return b.became(noticeID, user).State == state }, "the notice of "+user+" is not "+state)
}

// hears waits until a session has heard an event n times, and returns those.
func (b *bench) hears(s hall.Socket, event string, n int) []heard {
	b.t.Helper()
	storetest.Eventually(b.t, func() bool { return len(b.hall.of(s.SessionID, event)) >= n }, s.UserID+" does not hear "+event)
	list := b.hall.of(s.SessionID, event)
	if len(list) != n {
		b.t.Fatalf("%s hears %s %d times, want %d", s.UserID, event, len(list), n)
	}
	return list
}

// settled waits until everything that was enqueued before is done. A batch is done when something of the next one is.
func (b *bench) settled() {
	b.t.Helper()
	for range 2 {
		user := "flag" + id.New()
		sent := b.post(Notice{Users: []string{user}})
		flag := b.arrive(user, "", "web")
		b.hears(flag, "push_message", 1)
		storetest.Eventually(b.t, func() bool { return b.late.len() == 0 && b.ledger.fixes.len() == 0 }, "work is left")
		b.Acked(flag, sent.ID)
		b.becomes(sent.ID, user, notice.Acked)
		b.leave(flag)
	}
}

// told returns what the backend is to be told of a type, as data.
func (b *bench) told(kind string) (list []map[string]any) {
	b.t.Helper()
	items, _, err := b.Webhooks.List(b.t.Context(), "", "", 200)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, i := range items {
		var body struct{ Data map[string]any }
		if err := json.Unmarshal(i.Body, &body); err != nil {
			b.t.Fatal(err)
		}
		if i.Type == kind {
			list = append(list, body.Data)
		}
	}
	return list
}

// read reads JSON into fields.
func read(t *testing.T, text json.RawMessage) (fields map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return fields
}
