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
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/peer"
	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// hall is a conference.Hall in which everybody of sockets sits in conference 42. It notes what it is told.
type hall struct {
	conference.Hall
	mu      sync.Mutex // guards the rest
	sockets []conference.Socket
	told    []string
}

func (h *hall) note(s string) { h.mu.Lock(); h.told = append(h.told, s); h.mu.Unlock() }
func (h *hall) Find(to conference.Audience) (out []conference.Socket) {
	for _, s := range h.sockets {
		if (to.All || slices.Contains(to.Users, s.UserID)) && (to.ConferenceID == "" || to.ConferenceID == "42") {
			out = append(out, s)
		}
	}
	return out
}
func (h *hall) Occupancy(string) int                              { return 1 }
func (h *hall) PushTree(conf string, _ int64, _ json.RawMessage)  { h.note("tree " + conf) }
func (h *hall) PushRoster(conf string, _ conference.RosterPush)   { h.note("roster " + conf) }
func (h *hall) EmitRoom(conf, _, event string, _ json.RawMessage) { h.note(event + " " + conf) }
func (h *hall) End(to conference.Audience, why string) int {
	h.note("end " + why)
	return len(h.Find(to))
}
func (h *hall) Holds(session string) bool      { return session == "s1" }
func (h *hall) EndSession(session, why string) { h.note("end " + session + " " + why) }
func (h *hall) Emit(_ conference.Audience, e string, a ...json.RawMessage) {
	h.note(e + " " + string(a[0]))
}

func (h *hall) heard(s string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.told {
		if t == s {
			n++
		}
	}
	return n
}

// bench is a door on a real house, real presence and a real database, with a hall of the test.
type bench struct {
	*Door
	t    *testing.T
	hall *hall
}

// open builds the house on db and runs it until the test ends.
func open(t *testing.T, db *store.DB) *bench {
	t.Helper()
	b := &bench{t: t, hall: &hall{}}
	reg := prometheus.NewRegistry()
	log := slog.New(slog.DiscardHandler)
	var house *conference.House
	p := presence.New(presence.Config{
		DB: db, Node: "n1", Grace: time.Second, Heartbeat: time.Second, NodeTimeout: 10 * time.Second, Log: log, Metrics: reg,
		Record:  func(ctx context.Context, changes []presence.Change) error { return house.Record(ctx, changes) },
		Changed: func(changes []presence.Change) { house.Changed(changes) },
	})
	n := notice.New(notice.Config{DB: db, Window: time.Second, DetailMax: 200, Log: log, Metrics: reg})
	house = conference.New(conference.Config{
		DB: db, Presence: p, Notices: n, Hall: b.hall, AutoCreate: true, MaxTreeBytes: 262144, PollInterval: time.Second, DetailMax: 200, LogTree: "off", Log: log, Metrics: reg,
	})
	b.Door = New(Config{House: house, Presence: p, Notices: n, DB: db, Origins: peer.Origins{"https://friend.example"}, NodeID: "n1", Version: "1.2.3",
		Ready: func(context.Context) map[string]error { return map[string]error{"database": nil} }, Gatherer: reg, Metrics: reg, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{n.Run, p.Run, house.Run} {
		parts.Go(func() { _ = run(ctx) })
	}
	t.Cleanup(func() { cancel(); parts.Wait() })
	<-p.Ready()
	return b
}

// arrive lets a user into conference 42.
func (b *bench) arrive(user, name string) {
	b.t.Helper()
	_, err := b.House.Arrive(b.t.Context(), presence.Session{ID: id.New(), ConferenceID: "42", UserID: user, UserName: name, ClientType: "web", DeviceID: "d" + user, IP: "192.0.2.9", OpenedAt: time.Now()})
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
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
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

func isProblem(t *testing.T, r response, want string) {
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
