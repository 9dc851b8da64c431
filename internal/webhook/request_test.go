package webhook

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// What stands in a request: to a plain endpoint the old body untouched, unsigned without a secret, with basic
// authentication when the URL has a user.
func TestRequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		got := make(chan *http.Request, 1)
		bodies := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- r
			bodies <- string(body)
		}))
		defer server.Close()
		n := newNode(t, db, Endpoint{URL: strings.Replace(server.URL, "//", "//anna:hush@", 1) + "/old?x=1", Plain: true})
		n.start(t)
		const body = ` {"conferenceId": "42","userId":7}`
		if err := n.Append(t.Context(), []Event{{Type: "screen_share.ended", ConferenceID: "42", Plain: json.RawMessage(body)}}); err != nil {
			t.Fatal(err)
		}
		r := <-got
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || r.URL.String() != "/old?x=1" || user != "anna" || password != "hush" || <-bodies != body {
			t.Errorf("%s %s by %s", r.Method, r.URL, user)
		}
		h := r.Header
		if h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "rollcall" || h.Get("webhook-id") != rows(t, db)[0].ID || h.Get("webhook-timestamp") == "" || h["Webhook-Signature"] != nil {
			t.Errorf("header %v", h)
		}
	})
}

// An answer without an end is read in part, noted in part, and harms nobody.
func TestEndlessAnswer(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for {
			if _, err := w.Write(bytes.Repeat([]byte("x\x00\xff\x1b[31m安"), 1000)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	n := newNode(t, db, Endpoint{URL: server.URL})
	n.start(t)
	n.append(t, "1", nil)
	storetest.Eventually(t, func() bool { return rows(t, db)[0].Attempts > 0 }, "an attempt")
	if text := []rune(rows(t, db)[0].LastError); len(text) != errorMax || strings.ContainsAny(string(text), "\x00\x1b") {
		t.Errorf("%d characters: %q", len(text), string(text))
	}
}

// book collects what is logged.
type book struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), s)
}

// The database is away in the middle of a request: what was taken is noted when it is back and not sent twice, the rest goes
// on, and the log has one line of it.
func TestDatabaseAway(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.NewLine(t, dsn.Addr)
	direct := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), direct.SQL(), store.MySQL); err != nil {
		t.Fatal(err)
	}
	dsn.Addr = line.Addr()
	c.DSN = dsn.FormatDSN()
	db := storetest.OpenConfig(t, c)
	gate := make(chan struct{})
	r := receive(t, func(*http.Request, arrival) int { <-gate; return http.StatusOK })
	n := newNode(t, db, r.endpoint())
	var lines book
	n.trouble.log = slog.New(slog.NewTextHandler(&lines, nil))
	n.pace.poll = 10 * time.Millisecond
	n.start(t)
	n.append(t, "1", nil)
	n.append(t, "1", nil)
	storetest.Eventually(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.flying["1"] == 1 }, "a request under way")
	line.Cut()
	close(gate)
	storetest.Eventually(t, func() bool { return lines.count("the database is away") > 0 }, "the outage is noticed")
	for range 20 {
		<-time.After(10 * time.Millisecond) // many rounds
	}
	line.Mend()
	idle(t, direct)
	storetest.Eventually(t, func() bool { return lines.count("the database is back") == 1 }, "the return is noticed")
	if v := r.judge(map[string]int64{"1": 2}, nil); v != (verdict{}) || lines.count("the database is away") != 1 || lines.count("level=ERROR") != 0 {
		t.Errorf("%+v\n%s", v, lines.text.String())
	}
}

// What was committed here goes out at once, not at the next look; the meters count it.
func TestWokenByCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := receive(t, nil)
		n := newNode(t, db, r.endpoint())
		n.pace.poll = time.Hour
		n.start(t)
		for i := range 3 {
			n.append(t, "1", nil)
			storetest.Eventually(t, func() bool { return len(r.taken()) == i+1 }, "taken without a poll")
		}
		idle(t, db)
		families, err := n.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			names[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		if len(names) != 4 || names["rollcall_webhook_attempts_total"] != 3 || names["rollcall_webhook_dead_total"] != 0 {
			t.Errorf("meters %v", names)
		}
	})
}

// panicky is a transport with a bug.
type panicky struct{ left chan struct{} }

// RoundTrip implements http.RoundTripper.
func (p panicky) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-p.left:
		panic("a bug")
	default:
		return http.DefaultTransport.RoundTrip(r)
	}
}

// A panic while sending ends neither the process nor the sender. It counts as an attempt that failed: what panics each time
// is dead one day, and does not keep back for ever what comes behind it.
func TestPanic(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	r := receive(t, nil)
	n := newNode(t, db, r.endpoint())
	bug := panicky{make(chan struct{}, 1)}
	bug.left <- struct{}{}
	n.client = clientOf(&http.Client{Transport: bug})
	var lines book
	n.net = rescue.New(slog.New(slog.NewTextHandler(&lines, nil)), nil)
	n.start(t)
	n.append(t, "1", nil)
	idle(t, db)
	if len(r.taken()) != 1 || lines.count("a bug") == 0 || lines.count("level=ERROR") != 1 {
		t.Errorf("%d taken, log %s", len(r.taken()), lines.text.String())
	}
}
