package examples_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/clienttest"
)

// A changed tree is seen by who is in the room, and read back.
func TestTree(t *testing.T) {
	s, driver := launch(t), clienttest.Start(t)
	eachRuntime(t, func(t *testing.T, r runtime) {
		conference := "room:" + r.name // the colon has to survive the path
		anna := s.enter(t, driver, "anna", conference)
		var answer struct {
			ConferenceID string
			Version      int64
			Changed      []string
		}
		if err := json.Unmarshal([]byte(r.succeeds(t, s.settings(), "tree", conference, `{"topicInfo":{"title":"预算"}}`)), &answer); err != nil {
			t.Fatal(err)
		}
		if answer.ConferenceID != conference || !cmp.Equal(answer.Changed, []string{"topicInfo"}) {
			t.Errorf("printed %+v", answer)
		}
		type tree struct {
			Version   int64
			TopicInfo struct{ Title string }
		}
		anna.Wait(t, "note_tree", func(args []json.RawMessage) bool {
			var seen tree
			return json.Unmarshal(args[0], &seen) == nil && seen.TopicInfo.Title == "预算" && seen.Version >= answer.Version
		})
		if got := get[tree](t, s, "/conferences/"+conference+"/tree"); got.TopicInfo.Title != "预算" || got.Version < answer.Version {
			t.Errorf("the tree reads %+v", got)
		}

		g := newGate(t, s)
		r.fails(t, g.settings(), []string{"tree", conference, `{"agenda":{}}`}, "422", "unknown_section")
		r.fails(t, g.settings(), []string{"notice", "wrong-" + r.name, `{"to":{"users":["anna"]},"colour":"red"}`}, "422", "bad_payload", "body.colour")
		wrong := g.settings()
		wrong["RC_API_KEY"] = "rck_nobody-knows-this-one"
		r.fails(t, wrong, []string{"tree", conference, `{"topicInfo":{"title":"no"}}`}, "401", "unauthorized")
		if n := len(g.passed()); n != 3 {
			t.Errorf("what is wrong for good was sent %d times, want 3", n)
		}
	})
}

// A notice reaches who is there and waits for who is not; the same key is the same notice.
func TestNotice(t *testing.T) {
	s, driver := launch(t), clienttest.Start(t)
	eachRuntime(t, func(t *testing.T, r runtime) {
		here, away := "here-"+r.name, "away-"+r.name
		client := s.enter(t, driver, here, "42")
		call := []string{"notice", "lunch-" + r.name, `{"to":{"users":["` + here + `","` + away + `"]},"title":"Lunch","body":"At \"noon\", 中午"}`}
		var first, again struct {
			ID                       string
			Audience, Online, Queued int
		}
		if err := json.Unmarshal([]byte(r.succeeds(t, s.settings(), call...)), &first); err != nil {
			t.Fatal(err)
		}
		if first.ID == "" || first.Audience != 2 || first.Online != 1 || first.Queued != 1 {
			t.Errorf("printed %+v", first)
		}
		want := item{first.ID, "Lunch", `At "noon", 中午`}
		client.Wait(t, "notice", func(args []json.RawMessage) bool {
			var got item
			return json.Unmarshal(args[0], &got) == nil && got == want
		})
		if err := json.Unmarshal([]byte(r.succeeds(t, s.settings(), call...)), &again); err != nil || again != first {
			t.Errorf("the same key printed %+v, want %+v", again, first)
		}
		if diff := cmp.Diff([]item{want}, s.inbox(t, away)); diff != "" {
			t.Errorf("the inbox (-want +got):\n%s", diff)
		}
		r.fails(t, s.settings(), []string{"notice", "lunch-" + r.name, `{"to":{"users":["` + away + `"]},"title":"Dinner"}`}, "422", "idempotency_mismatch")
		r.fails(t, s.settings(), []string{"notice", "empty-" + r.name, `{"to":{"users":["` + away + `"]},"except":["` + away + `"]}`}, "422", "empty_audience")
	})
}

// However often an answer is lost or the server has no time, the notice goes out once, and not before the server wants to be asked again.
func TestNoticeThroughTrouble(t *testing.T) {
	s := launch(t)
	eachRuntime(t, func(t *testing.T, r runtime) {
		g := newGate(t, s, lose, busy(503, "1", "unavailable"), busy(429, "2", "rate_limited"), busy(409, "Wed, 21 Oct 2015 07:28:00 GMT", "idempotency_in_flight"))
		var answer struct{ ID string }
		user := "ben-" + r.name
		if err := json.Unmarshal([]byte(r.succeeds(t, g.settings(), "notice", "tea-"+r.name, `{"to":{"users":["`+user+`"]},"title":"Tea"}`)), &answer); err != nil {
			t.Fatal(err)
		}
		seen := g.passed()
		if len(seen) != 5 {
			t.Fatalf("asked %d times, want 5", len(seen))
		}
		for i, least := range []time.Duration{0, 0, time.Second, 2 * time.Second, time.Second} {
			if seen[i].key != "tea-"+r.name || seen[i].body != seen[0].body {
				t.Errorf("attempt %d has the key %q and the body %q", i+1, seen[i].key, seen[i].body)
			}
			if i > 0 && seen[i].at.Sub(seen[i-1].at) < least {
				t.Errorf("attempt %d came after %v, want %v", i+1, seen[i].at.Sub(seen[i-1].at), least)
			}
		}
		if diff := cmp.Diff([]item{{answer.ID, "Tea", ""}}, s.inbox(t, user)); diff != "" {
			t.Errorf("the inbox (-want +got):\n%s", diff)
		}
	})
}

// What never gets better is given up, and what rollcall said last is told.
func TestGivesUp(t *testing.T) {
	s := launch(t)
	eachRuntime(t, func(t *testing.T, r runtime) {
		trouble := []trouble{away}
		for range 20 {
			trouble = append(trouble, busy(503, "0", "unavailable"))
		}
		g := newGate(t, s, trouble...)
		r.fails(t, g.settings(), []string{"notice", "late-" + r.name, `{"to":{"users":["carl"]},"title":"Late"}`}, "503", "unavailable")
		if n := len(g.passed()); n != 5 {
			t.Errorf("asked %d times, want 5", n)
		}
	})
}

// gate stands before a server, lets everything through to it, and makes trouble about the first answers.
type gate struct {
	*httptest.Server

	mu      sync.Mutex // guards the rest
	trouble []trouble
	seen    []attempt
}

// attempt is one request.
type attempt struct {
	at        time.Time
	key, body string
}

// trouble gives another answer than the server did.
type trouble func(w http.ResponseWriter)

func newGate(t *testing.T, s *server, troubles ...trouble) *gate {
	t.Helper()
	target, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	g, server := &gate{trouble: troubles}, httputil.NewSingleHostReverseProxy(target)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if next := g.note(attempt{time.Now(), r.Header.Get("Idempotency-Key"), string(body)}); next != nil {
			server.ServeHTTP(httptest.NewRecorder(), r)
			next(w)
			return
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

// note records an attempt and returns the trouble it meets, or nil.
func (g *gate) note(a attempt) (next trouble) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, a)
	if len(g.trouble) > 0 {
		next, g.trouble = g.trouble[0], g.trouble[1:]
	}
	return next
}

func (g *gate) passed() []attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen
}

func (g *gate) settings() settings { return settings{"RC_URL": g.URL, "RC_API_KEY": backendKey} }

// lose breaks the connection: nobody knows what became of the request.
func lose(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// away answers as a proxy does behind which nobody is.
func away(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "<html><h1>502 Bad Gateway</h1></html>")
}

// busy answers as rollcall does when it has no time.
func busy(status int, after, code string) trouble {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/problem+json")
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": "try again later", "code": code})
	}
}
