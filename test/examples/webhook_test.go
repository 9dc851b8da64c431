package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// What rollcall tells is taken at the first attempt; what somebody else says in its name is refused, and so is rollcall when the secret is another.
func TestWebhook(t *testing.T) {
	driver := clienttest.Start(t)
	eachRuntime(t, func(t *testing.T, r runtime) {
		taker := r.listen(t, webhookSecret)
		stranger := r.listen(t, "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhpcyB0ZXN0")
		recorder := newRecorder(t, taker)
		s := launch(t, recorder.URL, stranger.url)

		s.enter(t, driver, "anna", "42").EmitAck(t, "receive_client_event", map[string]any{"says": "中午\n\"noon\"", "n": 1e6})
		var told []delivery
		storetest.EventuallyWithin(t, 30*time.Second, func() bool {
			all := get[struct{ Items []delivery }](t, s, "/webhooks/deliveries").Items
			told = slices.DeleteFunc(slices.Clone(all), func(d delivery) bool { return d.URL != recorder.URL || d.State != "sent" })
			refused := slices.ContainsFunc(all, func(d delivery) bool { return d.URL == stranger.url && d.State == "pending" && d.LastStatus == 401 })
			return len(told) == 2 && refused
		}, "what the example takes and refuses is so in the outbox")
		for _, d := range told {
			if d.Attempts != 1 || !taker.printed(d.ID, d.Body) {
				t.Errorf("%s was taken at attempt %d; printed:\n%s", d.Type, d.Attempts, taker.text())
			}
		}
		if got := stranger.lines(); len(got) > 0 {
			t.Errorf("took what has another signature:\n%s", strings.Join(got, "\n"))
		}

		before := len(taker.lines())
		taken := 0
		for _, c := range cases(t, recorder.first()) {
			status := taker.ask(t, c.request)
			if status != c.want && (status != 0 || c.want != http.StatusRequestEntityTooLarge) { // what is too large may be cut off
				t.Errorf("%s: answered %d, want %d", c.name, status, c.want)
			}
			if c.want == http.StatusNoContent {
				taken++
			}
		}
		if got := len(taker.lines()); got != before+taken {
			t.Errorf("printed %d events more, want %d:\n%s", got-before, taken, taker.text())
		}
	})
}

// request is a delivery as it came, or as somebody has changed it.
type request struct {
	method               string
	id, stamp, signature string // headers; "" is none
	body                 string
}

// signed returns a request as rollcall would send it at this time.
func signed(t *testing.T, secret, id string, at time.Time, body string) request {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := webhook.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return request{"POST", id, fmt.Sprint(at.Unix()), signature, body}
}

// expectation is what an example has to answer.
type expectation struct {
	name string
	request
	want int
}

// cases are made from a real delivery.
func cases(t *testing.T, real request) []expectation {
	t.Helper()
	now := time.Now()
	at := func(age time.Duration) request { return signed(t, webhookSecret, real.id, now.Add(-age), real.body) }
	with := func(change func(*request)) request {
		changed := real
		change(&changed)
		return changed
	}
	right := strings.TrimPrefix(real.signature, "v1,")
	return []expectation{
		{"it comes again", real, 204},
		{"the secret has changed", with(func(r *request) { r.signature = "v1,AAAA v1a,BBBB " + r.signature }), 204},
		{"it was long on its way", at(280 * time.Second), 204},
		{"our clock is behind", at(-280 * time.Second), 204},
		{"a line feed at the end", signed(t, webhookSecret, real.id, now, real.body+"\n"), 204},
		{"another body", with(func(r *request) { r.body = strings.Replace(r.body, "anna", "anne", 1) }), 401},
		{"a longer body", with(func(r *request) { r.body += " " }), 401},
		{"another id", with(func(r *request) { r.id += "0" }), 401},
		{"another time", with(func(r *request) { r.stamp = fmt.Sprint(now.Unix() + 60) }), 401},
		{"another secret", signed(t, "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhpcyB0ZXN0", real.id, now, real.body), 401},
		{"an empty secret", signed(t, "whsec_", real.id, now, real.body), 401},
		{"too old", at(320 * time.Second), 401},
		{"from the future", at(-320 * time.Second), 401},
		{"half a signature", with(func(r *request) { r.signature = r.signature[:len(r.signature)/2] }), 401},
		{"another version", with(func(r *request) { r.signature = "v2," + right }), 401},
		{"no version", with(func(r *request) { r.signature = right }), 401},
		{"a pattern", with(func(r *request) { r.signature = "v1,* *" }), 401},
		{"no signature", with(func(r *request) { r.signature = "" }), 400},
		{"no id", with(func(r *request) { r.id = "" }), 400},
		{"no time", with(func(r *request) { r.stamp = "" }), 400},
		{"no number as time", with(func(r *request) { r.stamp = "a[$(id)]" }), 400},
		{"too large", signed(t, webhookSecret, real.id, now, strings.Repeat(" ", 1<<20)+real.body), 413},
		{"somebody looks", request{method: "GET"}, 405},
	}
}

// listener is an example that listens.
type listener struct {
	url string

	mu  sync.Mutex // guards out
	out []string   // lines
}

// listen starts an example and waits until it takes connections.
func (r runtime) listen(t *testing.T, secret string) *listener {
	t.Helper()
	address := freeAddress(t)
	l := &listener{url: "http://" + address}
	ctx, cancel := context.WithCancel(context.Background()) // not the test's: it has to end in Cleanup, where it is waited for
	cmd := r.prepare(ctx, t, settings{"RC_LISTEN": address, "RC_WEBHOOK_SECRET": secret}, "listen")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // until the process ends
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			l.mu.Lock()
			l.out = append(l.out, lines.Text())
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
		keepsSecrets(t, "the example", l.text()+stderr.String())
		if t.Failed() {
			t.Logf("the example said:\n%s", stderr.String())
		}
	})
	storetest.EventuallyWithin(t, 60*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return strings.HasPrefix(l.text(), "listening on "+l.url)
	}, r.name+" listens")
	return l
}

// freeAddress returns an address nobody listens on, below those that the kernel hands out for outgoing connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.out, "\n")
}

// lines returns the events that were printed.
func (l *listener) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.out[min(1, len(l.out)):]), func(line string) bool { return line == "" }) // as a body ended in a line feed
}

// printed reports whether the event was printed with its id.
func (l *listener) printed(id string, body json.RawMessage) bool {
	return slices.ContainsFunc(l.lines(), func(line string) bool {
		name, event, _ := strings.Cut(line, " ")
		return name == id && sameJSON([]byte(event), body)
	})
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// ask sends a request and returns the status of the answer, 0 when there was none.
func (l *listener) ask(t *testing.T, r request) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, l.url, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"webhook-id": r.id, "webhook-timestamp": r.stamp, "webhook-signature": r.signature} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// delivery is a row of the outbox.
type delivery struct {
	ID, URL, Type, State string
	Attempts, LastStatus int
	Body                 json.RawMessage
}

// recorder passes deliveries on to an example and keeps them as they came.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex // guards seen
	seen []request
}

func newRecorder(t *testing.T, l *listener) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		h := req.Header
		came := request{req.Method, h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), string(body)}
		r.mu.Lock()
		r.seen = append(r.seen, came)
		r.mu.Unlock()
		status := l.ask(t, came)
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) first() request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[0]
}
