package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// arrival is one request that reached the receiver.
type arrival struct {
	id         string
	conference string
	seq        int64
	status     int // that it was answered with
	body       string
}

// receiver is a meeting backend that answers as behave says and remembers everything. It fails the test when two
// requests of one conference overlap or a signature is not right.
type receiver struct {
	*httptest.Server
	t      testing.TB
	behave func(r *http.Request, a arrival) int // 0: never answer

	mu       sync.Mutex // guards what follows
	arrivals []arrival
	flying   map[string]int // by conference
	overlaps int
	most     int // conferences at once
}

func receive(t testing.TB, behave func(r *http.Request, a arrival) int) *receiver {
	t.Helper()
	r := &receiver{t: t, behave: behave, flying: map[string]int{}}
	if behave == nil {
		r.behave = func(*http.Request, arrival) int { return http.StatusNoContent }
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender is gone
	}
	var event struct {
		Data struct {
			ConferenceID string
			Seq          int64
		}
	}
	if err := json.Unmarshal(body, &event); err != nil {
		r.t.Errorf("body %s: %v", body, err)
	}
	verifier, err := standardwebhooks.NewWebhook(testSecret)
	if err == nil {
		err = verifier.Verify(body, req.Header)
	}
	if err != nil {
		r.t.Errorf("signature: %v", err)
	}
	a := arrival{id: req.Header.Get("webhook-id"), conference: event.Data.ConferenceID, seq: event.Data.Seq, body: string(body)}
	r.enter(a.conference)
	if a.status = r.behave(req, a); a.status == 0 {
		<-req.Context().Done()
	}
	r.leave(a)
	if a.status >= 300 && a.status < 400 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(max(a.status, 200))
	_, _ = fmt.Fprintf(w, "answer %d\r\n\x00of %s", a.status, testSecret)
}

func (r *receiver) enter(conference string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flying[conference]++; r.flying[conference] > 1 {
		r.overlaps++
	}
	r.most = max(r.most, len(r.flying))
}

func (r *receiver) leave(a arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flying[a.conference]--; r.flying[a.conference] == 0 {
		delete(r.flying, a.conference)
	}
	r.arrivals = append(r.arrivals, a)
}

// all returns the requests so far.
func (r *receiver) all() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrival(nil), r.arrivals...)
}

// taken returns the requests that were answered with success.
func (r *receiver) taken() (list []arrival) {
	for _, a := range r.all() {
		if a.status >= 200 && a.status < 300 {
			list = append(list, a)
		}
	}
	return list
}

// verdict is what can be wrong with what a receiver took.
type verdict struct{ lost, doubled, disordered int }

// judge compares what was taken with what was appended: the number of events by conference, less the ones given up.
func (r *receiver) judge(appended map[string]int64, dead map[string]bool) (v verdict) {
	seen, last := map[string]bool{}, map[string]int64{}
	for _, a := range r.taken() {
		name := fmt.Sprintf("%s/%d", a.conference, a.seq)
		if seen[name] {
			v.doubled++
		} else if a.seq < last[a.conference] {
			v.disordered++
		}
		seen[name] = true
		last[a.conference] = max(last[a.conference], a.seq)
	}
	for conference, n := range appended {
		for seq := int64(1); seq <= n; seq++ {
			if name := fmt.Sprintf("%s/%d", conference, seq); !seen[name] && !dead[name] {
				v.lost++
			}
		}
	}
	return v
}

// node is an Outbox in a hurry.
type node struct {
	*Outbox
	registry *prometheus.Registry
}

func (r *receiver) endpoint() Endpoint { return Endpoint{URL: r.URL + "/hook", Secret: testSecret} }

func newNode(t testing.TB, db *store.DB, endpoints ...Endpoint) *node {
	t.Helper()
	n := &node{registry: prometheus.NewRegistry()}
	var err error
	n.Outbox, err = New(Config{DB: db, Endpoints: endpoints, RetryBase: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Metrics: n.registry})
	if err != nil {
		t.Fatal(err)
	}
	n.retry.longest = 100 * time.Millisecond
	n.pace.poll, n.pace.goodbye, n.pace.attempt = 50*time.Millisecond, time.Second, 5*time.Second
	return n
}

// start runs the node until stop is called or the test ends.
func (n *node) start(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// append appends one event and fails the test if that fails.
func (n *node) append(t testing.TB, conference string, data map[string]any) {
	t.Helper()
	if err := n.Append(t.Context(), []Event{{Type: "presence.online", ConferenceID: conference, Data: data}}); err != nil {
		t.Fatalf("append: %v", err)
	}
}

// rows returns the outbox in the order of lanes and numbers.
func rows(t testing.TB, db *store.DB) (list []outboxRow) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		list = nil
		return tx.Order("endpoint, conference_id, seq").Find(&list).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// inState counts the rows of a state.
func inState(t testing.TB, db *store.DB, state string) (n int) {
	t.Helper()
	number(t, db, &n, "SELECT COUNT(*) FROM webhook_outbox WHERE state = ?", state)
	return n
}

// number reads one number.
func number(t testing.TB, db *store.DB, n *int, sql string, args ...any) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Raw(sql, args...).Scan(n).Error })
	if err != nil {
		t.Fatal(err)
	}
}

// idle waits until nothing is pending.
func idle(t testing.TB, db *store.DB) {
	t.Helper()
	storetest.EventuallyWithin(t, time.Minute, func() bool { return inState(t, db, pending) == 0 }, "nothing is pending")
}

// exec changes the tables behind everybody's back.
func exec(t testing.TB, db *store.DB, sql string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Exec(sql, args...).Error })
	if err != nil {
		t.Fatal(err)
	}
}
