package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/conference"
	"rollcall/internal/explain"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/webhook"
)

// fakeHall is a hall in which everybody of sockets sits in conference 42, with the id of his user and an exclamation mark
// as alias. It notes what it is told.
type fakeHall struct {
	conference.Hall
	mu      sync.Mutex // guards the rest
	sockets []hall.Socket
	told    []string
}

func (h *fakeHall) note(s string) { h.mu.Lock(); h.told = append(h.told, s); h.mu.Unlock() }
func (h *fakeHall) Find(to hall.Audience) (out []hall.Socket) {
	for _, s := range h.sockets {
		named := to.All || slices.Contains(to.Users, s.UserID) || slices.Contains(to.Sessions, s.SessionID) || slices.Contains(to.Aliases, s.UserID+"!")
		if named && (to.ConferenceID == "" || to.ConferenceID == "42") && !slices.Contains(to.Except, s.UserID) && (len(to.ClientTypes) == 0 || slices.Contains(to.ClientTypes, s.ClientType)) {
			out = append(out, s)
		}
	}
	return out
}
func (h *fakeHall) Occupancy(string) int { return 1 }
func (h *fakeHall) Push(conf string, t *conference.TreePush, r *conference.RosterPush) int {
	if t != nil {
		h.note("tree " + conf)
	}
	if r != nil {
		h.note("roster " + conf)
	}
	return 1
}
func (h *fakeHall) End(to hall.Audience, why string) int {
	h.note("end " + why)
	return len(h.Find(to))
}
func (h *fakeHall) Holds(session string) bool      { return session == "s1" }
func (h *fakeHall) EndSession(session, why string) { h.note("end " + session + " " + why) }
func (h *fakeHall) EmitAll(events []hall.Event) {
	for _, e := range events {
		h.Emit(e.To, e.Name, e.Args...)
	}
}

func (h *fakeHall) Emit(to hall.Audience, e string, a ...json.RawMessage) []hall.Socket {
	text := e
	if to.All && to.ConferenceID != "" {
		h.note(e + " " + to.ConferenceID)
		return h.Find(to)
	}
	for _, arg := range a {
		text += " " + string(arg)
	}
	h.note(text)
	return h.Find(to)
}
func (h *fakeHall) EmitAcked(to hall.Audience, _, e string, a ...json.RawMessage) []hall.Socket {
	return h.Emit(to, e, a...)
}

func (h *fakeHall) heard(s string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.told {
		if t == s {
			n++
		}
	}
	return n
}

// bench is a door on a real house, real messages, real presence and a real database, with a hall of the test.
type bench struct {
	*Door
	t    testing.TB
	hall *fakeHall
	from string // RemoteAddr of what do sends; "" is that of httptest
}

// open builds the house on db and runs it until the test ends.
func open(t testing.TB, db *store.DB) *bench { return openAsking(t, db, "") }

// openAsking builds a house that asks a meeting backend for the members of its conferences.
func openAsking(t testing.TB, db *store.DB, membersURL string) *bench {
	t.Helper()
	return openWith(t, db, membersURL, func(*Config) {})
}

// openWith builds a house whose door has a configuration that was adjusted.
func openWith(t testing.TB, db *store.DB, membersURL string, adjust func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, hall: &fakeHall{}}
	reg := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	c := Config{DB: db, Origins: peer.Origins{"https://friend.example"}, NodeID: "n1", Version: "1.2.3",
		Ready: func(context.Context) map[string]error { return map[string]error{"database": nil} }, Gatherer: reg, Metrics: reg, Log: log}
	adjust(&c)
	var house *conference.House
	p := presence.New(presence.Config{
		DB: db, Node: "n1", Grace: time.Second, Heartbeat: time.Second, NodeTimeout: 10 * time.Second, Log: log, Metrics: reg,
		Record:  func(ctx context.Context, changes []presence.Change) error { return house.Record(ctx, changes) },
		Changed: func(changes []presence.Change) { house.Changed(changes) },
	})
	o, err := webhook.New(webhook.Config{DB: db, Endpoints: []webhook.Endpoint{{URL: "http://127.0.0.1:9/"}}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	n := notice.New(notice.Config{DB: db, Window: time.Second, DetailMax: 200, Log: log, Metrics: reg})
	house = conference.New(conference.Config{
		DB: db, Presence: p, Notices: n, Webhooks: o, Hall: b.hall, MembersURL: membersURL, Grace: time.Second, AutoCreate: true, Auth: c.Auth != nil, MaxTreeBytes: 262144, PollInterval: time.Second, DetailMax: 200, LogTree: "off", Log: log, Metrics: reg,
	})
	m := message.New(message.Config{DB: db, Presence: p, Notices: n, Webhooks: o, Hall: b.hall, Cluster: house.Cluster, Members: house.Members, PushTree: house.Push, AckTimeout: time.Minute, Log: log, Metrics: reg})
	c.House, c.Presence, c.Notices, c.Messages, c.Webhooks, c.Explain = house, p, n, m, o, explain.New(p, n, time.Second)
	b.Door = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{n.Run, p.Run, house.Run, m.Run} {
		parts.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); parts.Wait() })
	<-p.Ready()
	return b
}

// arrive lets a user into conference 42.
func (b *bench) arrive(user, name string) {
	b.t.Helper()
	_, err := b.House.Arrive(b.t.Context(), presence.Session{ID: id.New(), ConferenceID: "42", UserID: user, UserName: name, ClientType: "web", DeviceID: "d" + user, IP: "192.0.2.9", OpenedAt: time.Now()}, conference.Free)
	if err != nil {
		b.t.Fatalf("arrive: %v", err)
	}
}

// response is an answer with its body read as JSON where it is some.
type response struct {
	*httptest.ResponseRecorder
	fields map[string]any
}

// do sends a request; header is name, value, name, value.
func (b *bench) do(method, path, body string, header ...string) response {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	if strings.Contains(path, "%") {
		r = httptest.NewRequest(method, path, strings.NewReader(body))
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if b.from != "" {
		r.RemoteAddr = b.from
	}
	return b.serve(r)
}

// serve answers a request as the door does, and looks whether the document says that it may.
func (b *bench) serve(r *http.Request) response {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	if op := b.operation(r); op != nil && op.Responses[strconv.Itoa(w.Code)] == nil {
		b.t.Errorf("%s %s was answered %d, which the document does not say: %s", r.Method, r.URL, w.Code, w.Body)
	}
	out := response{ResponseRecorder: w}
	_ = json.Unmarshal(w.Body.Bytes(), &out.fields)
	return out
}

// must sends a request to the API and fails the test at once unless it is answered with status.
func (b *bench) must(status int, method, path, body string, header ...string) response {
	b.t.Helper()
	r := b.do(method, prefix+path, body, header...)
	if r.Code != status {
		b.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.Code, status, r.Body)
	}
	return r
}

// refused sends a request to the API and expects a problem document; want is its status and its code.
func (b *bench) refused(want, method, path, body string, header ...string) {
	b.t.Helper()
	isProblem(b.t, b.do(method, prefix+path, body, header...), want)
}

func isProblem(t testing.TB, r response, want string) {
	t.Helper()
	number, code, _ := strings.Cut(want, " ")
	status, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != status || r.fields["code"] != code {
		t.Errorf("got %d %v, want %d %s: %.300s", r.Code, r.fields["code"], status, code, r.Body)
	}
	if ct := r.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type of a problem is %q", ct)
	}
	if r.fields["status"] != float64(status) || r.fields["title"] == nil || r.fields["detail"] == nil {
		t.Errorf("not a problem document: %s", r.Body)
	}
}

// logged returns the rows of the log with an event.
func (b *bench) logged(event string) []any {
	b.t.Helper()
	return b.must(http.StatusOK, "GET", "/notices?event="+event, "").fields["items"].([]any)
}
