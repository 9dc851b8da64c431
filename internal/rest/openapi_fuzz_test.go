package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/auth"
	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// seedVar brings the requests of a failed run back.
const seedVar = "ROLLCALL_TEST_SEED"

// seedOf is another one in every run, unless the environment says which.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedVar)
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedVar, err)
	}
	return seed
}

// trial sends forged requests to a door, judges the answers and counts them.
type trial struct {
	b *bench
	f *forge

	posted string // a notice to several users, where a test needs one

	mu       sync.Mutex // guards the rest
	statuses map[int]int
	done     map[string]int // successes, by operation
	failed   map[string]int // by operation and what is wrong
}

// enough is how many failures of a kind are shown: more of them say nothing new.
const enough = 2

func newTrial(b *bench, seed uint64) *trial {
	b.t.Helper()
	b.hall.sockets = sockets("1", "2", "3")
	err := b.DB.Write(b.t.Context(), func(_ context.Context, tx *gorm.DB) error { // a node to purge
		return tx.Exec("INSERT INTO nodes (id, epoch, state, heartbeat_at, started_at) VALUES ('n9', 1, 'dead', 1, 1)").Error
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return &trial{b: b, f: newForge(readContract(b), seed), statuses: map[int]int{}, done: map[string]int{}, failed: map[string]int{}}
}

// sender brings a request to the door and returns it as it went out, and the answer. What it cannot do it takes out of q.
type sender func(q *request) (*http.Request, answered, error)

// try sends the nth request. Now and then somebody comes into a conference or goes.
func (r *trial) try(n uint64, send sender) {
	if n%16 == 0 {
		r.move(n)
	}
	q := r.f.request(n)
	to, got, wrong := r.ask(q, send)
	if len(wrong) > 0 {
		r.fail(q, fmt.Sprintf("%s\n%d %.600q", strings.Join(wrong, "\n"), got.status, got.body))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses[got.status]++
	if to != nil && got.good() {
		r.done[to.OperationID]++
	}
}

// ask sends a request and returns the operation that it led to, nil for none, the answer, and what is wrong with it.
func (r *trial) ask(q request, send sender) (to *call, got answered, wrong []string) {
	out, got, err := send(&q)
	if err != nil {
		return nil, got, []string{"no answer: " + err.Error()}
	}
	if op := r.b.operation(out); op != nil {
		to = r.f.named(op.OperationID)
	}
	wrong = r.f.judge(to, q.method, got)
	switch {
	case to == nil:
	case got.good():
		if q.stranger && len(to.Security) > 0 {
			wrong = append(wrong, "a stranger may do this")
		}
		if why := r.f.against(to, q, out); why != "" {
			wrong = append(wrong, "taken, although "+why)
		}
		if v, err := decoded(got.body); err == nil {
			r.f.learn(to, v)
		}
	case !q.broken && slices.Contains([]int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusUnsupportedMediaType}, got.status):
		wrong = append(wrong, "refused, although nothing is wrong with it")
	}
	slices.Sort(wrong)
	return to, got, wrong
}

func (r *trial) fail(q request, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, _, _ := strings.Cut(why, "\n")
	kind := q.call.OperationID + ": " + first
	if r.failed[kind]++; r.failed[kind] <= enough {
		r.b.t.Errorf("%s=%d: %v\n%s", seedVar, r.f.seed, q, why)
	}
}

// move lets somebody in, who may be barred, or lets somebody go.
func (r *trial) move(n uint64) {
	p := &pen{forge: r.f, Rand: rand.New(rand.NewPCG(r.f.seed, ^n))}
	if p.IntN(3) == 0 {
		r.b.House.Leave(p.of("session"), presence.Left)
		return
	}
	s := presence.Session{ID: id.New(), ConferenceID: p.of("conference"), UserID: p.of("user"), UserName: "User", ClientType: "web", DeviceID: "d", IP: "192.0.2.9", OpenedAt: time.Now()}
	_, err := r.b.House.Arrive(r.b.t.Context(), s, conference.Free)
	switch {
	case err == nil:
		r.f.keep("session", s.ID)
	case fault.Of(err).Kind == fault.Internal:
		r.fail(request{n: n, call: &call{OperationID: "arrive"}}, err.Error())
	}
}

// against returns what the document says against a request to a call, as far as a schema can say it.
func (c *contract) against(to *call, q request, out *http.Request) string {
	if to.RequestBody != nil {
		if q.cut && q.body != "" {
			return "the body ends in the middle"
		}
		text := strings.TrimSpace(q.body)
		if text == "" && !isTree(to) {
			text = "{}"
		}
		v, err := decoded([]byte(text))
		if err != nil {
			return "the body is no JSON"
		}
		if v == nil && !isTree(to) {
			v = map[string]any{}
		}
		if wrong := (look{c, true}).misfits(to.RequestBody.Content["application/json"].Schema, v, "body"); len(wrong) > 0 {
			return strings.Join(wrong, ", ")
		}
	}
	values, err := url.ParseQuery(out.URL.RawQuery)
	if err != nil {
		return "the query is malformed"
	}
	for name, list := range values {
		i := slices.IndexFunc(to.Parameters, func(p parameter) bool { return p.In == "query" && p.Name == name })
		if i < 0 || len(list) > 1 {
			return "the query has " + name
		}
		if wrong := (look{c, true}).misfits(to.Parameters[i].Schema, typed(list[0], to.Parameters[i].Schema), name); len(wrong) > 0 && list[0] != "" {
			return strings.Join(wrong, ", ")
		}
	}
	return ""
}

// typed reads the text of a parameter as the schema wants it, where it can be.
func typed(text string, s *shape) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && s.Type[0] == "integer" {
		return json.Number(strconv.FormatInt(n, 10))
	}
	if yes, err := strconv.ParseBool(text); err == nil && s.Type[0] == "boolean" {
		return yes
	}
	return text
}

// brokenBody is a connection that ends in the middle of a body.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// made returns the request for the address of a server.
func (q request) made(server string) (*http.Request, error) {
	var body io.Reader = strings.NewReader(q.body)
	if q.chunked {
		body = struct{ io.Reader }{body}
	}
	r, err := http.NewRequest(q.method, server, body)
	if err != nil {
		return nil, err
	}
	u, err := url.ParseRequestURI(q.target)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = r.URL.Scheme, r.URL.Host
	r.URL = u
	for _, h := range q.header {
		r.Header.Add(h[0], h[1])
	}
	for i := 0; i+1 < len(q.proof); i += 2 {
		r.Header.Add(q.proof[i], q.proof[i+1])
	}
	return r, nil
}

// direct hands a request to the door as net/http would.
func (r *trial) direct(q *request) (*http.Request, answered, error) {
	out, err := q.made("http://rollcall.example")
	if err != nil {
		return nil, answered{}, err
	}
	if q.chunked {
		out.ContentLength = -1
	}
	if q.cut {
		out.Body = io.NopCloser(brokenBody{strings.NewReader(q.body)})
	}
	out.RemoteAddr = "192.0.2.1:1234"
	w := httptest.NewRecorder()
	r.b.ServeHTTP(w, out.Clone(r.b.t.Context()))
	return out, answered{w.Code, w.Header(), w.Body.Bytes()}, nil
}

// over returns a sender to a server that listens.
func over(server *httptest.Server) sender {
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(q *request) (*http.Request, answered, error) {
		q.cut = false
		out, err := q.made(server.URL)
		if err != nil {
			return nil, answered{}, err
		}
		resp, err := client.Do(out)
		if err != nil {
			return nil, answered{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return out, answered{resp.StatusCode, resp.Header, body}, err
	}
}

// missing names an operation that never had success, "" when all had.
func (r *trial) missing() string {
	for _, c := range r.f.calls {
		if r.done[c.OperationID] == 0 {
			return c.OperationID
		}
	}
	return ""
}

// figures tells the statuses, in their order.
func (r *trial) figures() string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(r.statuses)) {
		parts = append(parts, fmt.Sprintf("%d of %d", r.statuses[status], status))
	}
	return strings.Join(parts, ", ")
}

// TestOpenAPIFuzz: whatever comes in, valid or broken, at every operation of the document, the answer is one of those in the
// document and has the shape that it says, never a 5xx; what the document forbids is not taken; and the service is well
// afterwards. First one after the other, then several at a time over real connections.
func TestOpenAPIFuzz(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	seed := seedOf(t)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newTrial(open(t, db), seed)
		total := uint64(storetest.Size(20_000, 1500))
		alone := total * 3 / 4
		for n := range alone {
			r.try(n, r.direct)
		}
		r.together(alone, total)
		for n := total; n < 10*total && r.missing() != ""; n++ { // chance may have kept success from the rarest
			r.try(n, r.direct)
		}
		if which := r.missing(); which != "" {
			t.Errorf("%s=%d: %s never had success, so nothing was seen of it", seedVar, seed, which)
		}
		r.end()
	})
	storetest.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "no goroutine is left")
}

// TestOpenAPIFuzzLocked: the same at a door that asks who comes, with credentials of all kinds. Nobody gets in without one.
func TestOpenAPIFuzzLocked(t *testing.T) {
	seed := seedOf(t)
	b := openLocked(t, storetest.Open(t, store.SQLite))
	r := newTrial(b, seed)
	for _, who := range b.askers() {
		r.f.askers = append(r.f.askers, who)
		if who.role == auth.Admin { // as often as all others, who do not get far
			r.f.askers = append(r.f.askers, slices.Repeat([]asker{who}, len(b.askers()))...)
		}
	}
	total := uint64(storetest.Size(10_000, 700))
	for n := range total / 2 {
		r.try(n, r.direct)
	}
	r.together(total/2, total)
	r.end()
}

// together sends requests from several goroutines over connections.
func (r *trial) together(from, to uint64) {
	server := httptest.NewServer(r.b.Door)
	defer server.Close()
	send := over(server)
	var next atomic.Uint64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for n := from + next.Add(1) - 1; n < to; n = from + next.Add(1) - 1 {
				r.try(n, send)
			}
		})
	}
	clients.Wait()
}

// end sums up.
func (r *trial) end() {
	r.b.t.Helper()
	for kind, n := range r.failed {
		r.b.t.Errorf("%d of %s", n, kind)
	}
	all := 0
	for _, n := range r.statuses {
		all += n
	}
	r.well()
	storetest.Show(r.b.t, "%d operations, %d requests (seed %d): %s; 5xx 0", len(r.f.calls), all, r.f.seed, r.figures())
}

// well fails unless the service lives, and tree, roster and presence say the same of every conference.
func (r *trial) well() {
	r.b.t.Helper()
	admin := by(auth.Admin) // where nobody asks, it does no harm
	if got := r.b.do("GET", "/healthz", ""); got.Code != http.StatusOK {
		r.b.t.Errorf("healthz: %d %s", got.Code, got.Body)
	}
	for _, item := range r.b.must(200, "GET", "/conferences?limit=200", "", admin...).fields["items"].([]any) {
		conf := item.(map[string]any)["id"].(string)
		path := "/conferences/" + url.PathEscape(conf)
		var state, tree response
		storetest.Eventually(r.b.t, func() bool {
			state, tree = r.b.must(200, "GET", path+"/presence", "", admin...), r.b.must(200, "GET", path+"/tree", "", admin...)
			return state.fields["version"] == tree.fields["version"]
		}, "the versions of "+conf+" are the same")
		here := 0.0
		for _, u := range state.fields["users"].([]any) {
			if s := u.(map[string]any)["state"]; s == "online" || s == "reconnecting" {
				here++
			}
		}
		if head, _ := tree.fields["headData"].(map[string]any); head["onLineNumber"] != state.fields["online"] || here != state.fields["online"] {
			r.b.t.Errorf("%s=%d: in %s the tree says %v, the roster %v and lists %v", seedVar, r.f.seed, conf, head["onLineNumber"], state.fields["online"], here)
		}
	}
}
