package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/config"
	"rollcall/internal/rescue"
	"rollcall/internal/storetest"
)

// stand is a front with doors of a test behind it.
type stand struct {
	t        *testing.T
	addr     string
	registry *prometheus.Registry
	log      *lines
}

// impatient are times that a test can wait for; patient ones are far above them.
var impatient = times{header: 200 * time.Millisecond, body: 200 * time.Millisecond, write: 200 * time.Millisecond, idle: time.Minute}

const patient = 20 * time.Second

func standing(t *testing.T, door http.HandlerFunc) *stand {
	t.Helper()
	s := &stand{t: t, registry: prometheus.NewRegistry(), log: &lines{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := newServer(&front{next: door, net: rescue.New(log, s.registry), times: impatient}, log)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return s
}

// send opens a connection and writes what is given.
func (s *stand) send(text string) net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patient))
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// until reads to the end of the connection and returns what came.
func (s *stand) until(c net.Conn) string {
	s.t.Helper()
	all, err := io.ReadAll(c)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		s.t.Fatalf("the connection stays open; it said %q", all)
	}
	return string(all) // an end by reset is an end
}

// panics returns how many were counted.
func (s *stand) panics() (total float64) {
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue()
		}
	}
	return total
}

// A panic of any door is answered, or the connection cut where it is too late for an answer; it is counted, and told once.
func TestPanicOfADoor(t *testing.T) {
	for name, c := range map[string]struct {
		door    http.HandlerFunc
		want    string // in what the client gets
		without string
		panics  float64
	}{
		"before an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			w.Header().Set("ETag", `"x"`)
			panic("a bug")
		}, "HTTP/1.1 500 Internal Server Error", "Etag", 1},
		"within one": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 5000))
			panic("a bug")
		}, "xxx", "\r\n0\r\n", 1},
		"behind the status": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			panic("a bug")
		}, "", "500", 1},
		"of a connection taken over": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "mine now")
			panic("a bug")
		}, "mine now", "500", 1},
		"on purpose": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "", "500", 0},
		"on purpose, taken over": {func(w http.ResponseWriter, _ *http.Request) {
			if _, _, err := http.NewResponseController(w).Hijack(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}, "", "500", 0},
	} {
		s := standing(t, c.door)
		got := s.until(s.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		if !strings.Contains(got, c.want) || strings.Contains(got, c.without) {
			t.Errorf("%s: got %q", name, got)
		}
		if n := s.panics(); n != c.panics || strings.Count(s.log.String(), "a panic was caught") != int(c.panics) {
			t.Errorf("%s: counted %v, log %s", name, n, s.log)
		}
		if c.want != "" && strings.HasPrefix(c.want, "HTTP") && (!strings.Contains(got, `"code":"internal"`) || !strings.Contains(got, "nosniff") || strings.Contains(got, "a bug")) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A client that is slow on purpose loses its connection, whichever part it is slow with and whatever the door does.
func TestSlowClients(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: x\r\n"
	for name, text := range map[string]string{
		"silent": "", "half a line": "GET / HT", "half of the headers": "GET /" + host + "A: b\r\n", "a body for nobody": "GET /" + host + "Content-Length: 9\r\n\r\nabc",
		"a body for nobody in chunks": "POST /" + host + "Transfer-Encoding: chunked\r\n\r\n5000\r\nabc", "a body that is read": "POST /read" + host + "Content-Length: 9000\r\n\r\nabc",
		"a body that is asked for": "POST /read" + host + "Content-Length: 9000\r\nExpect: 100-continue\r\n\r\n", "a body of a strange method": "BREW /" + host + "Content-Length: 9000\r\n\r\nabc",
		"a body of OPTIONS *": "OPTIONS *" + host + "Content-Length: 9000\r\n\r\nabc", "a second request": "GET /" + host + "\r\nGET /" + host + "A: b\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := standing(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/read" {
					if _, err := io.ReadAll(r.Body); err == nil {
						t.Error("a body that never ended was read to its end")
					}
				}
				_, _ = io.WriteString(w, "answer")
			})
			c := s.send(text)
			ended := make(chan struct{})
			go func() { // a byte now and then keeps nothing open
				drip := time.NewTicker(impatient.body / 4)
				defer drip.Stop()
				for {
					select {
					case <-drip.C:
						_, _ = io.WriteString(c, "a")
					case <-ended:
						return
					}
				}
			}()
			s.until(c)
			close(ended)
			if n := s.panics(); n != 0 {
				t.Errorf("%v panics", n)
			}
		})
	}
}

// Who sends requests and reads no answers does not keep a door waiting.
func TestSlowReader(t *testing.T) {
	ended := make(chan error, 1)
	s := standing(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	})
	s.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(patient):
		t.Error("the door still writes")
	}
}

// beginning is what a client of HTTP/2 says to be sent more than fits on the way: the preface, settings with a window as large
// as they come, the same for the connection, and the headers of GET / on stream 1.
const beginning = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x04\x7f\xff\xff\xff" +
	"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + "\x7f\x00\x00\x00" + "\x00\x00\x06\x01\x05\x00\x00\x00\x01" + "\x82\x87\x84\x41\x01x"

// With HTTP/2 such a client kept a door waiting for ever: the deadline ends a stream by a frame that waits behind what is stuck.
func TestSlowReaderOfHTTP2(t *testing.T) {
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(&front{net: rescue.New(log, nil), times: impatient, tls: true, next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the client speaks %s", r.Proto)
		}
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- err
				return
			}
		}
	})}, log)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	var c *tls.Conn
	storetest.EventuallyWithin(t, patient, func() bool { // on a busy machine a handshake may take longer than a head may
		var err error
		c, err = tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		return err == nil
	}, "the server speaks TLS")
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, beginning); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patient):
		t.Error("the door still writes")
	}
}

// The bounds are for what a client does. A door may think for as long as it likes: a poll that waits is not taken for a
// client that has gone, not even when it came with a body.
func TestWaitingIsNotCut(t *testing.T) {
	for name, text := range map[string]string{
		"GET":           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET and body":  "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST in parts": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST, no body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gone := make(chan bool, 1)
			s := standing(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					_, _ = io.ReadAll(r.Body)
				}
				select {
				case <-r.Context().Done():
					gone <- true
				case <-time.After(3 * impatient.body):
					gone <- false
				}
				_, _ = io.WriteString(w, "patience")
			})
			c := s.send(text)
			answers := bufio.NewReader(c)
			for range 2 { // the second on the same connection, with deadlines of its own
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				if <-gone || string(body) != "patience" {
					t.Errorf("the door was told that the client has gone, who got %q", body)
				}
				_, _ = io.WriteString(c, text)
			}
			if name == "GET and body" {
				return // nobody reads ahead of a body that nobody reads
			}
			_ = c.Close()
			if !<-gone {
				t.Error("a client that has gone is not noticed any more")
			}
		})
	}
}

// Doors hear of methods they know. A target that names a host, as proxies get it, is read like any other (RFC 9112, 3.2.2):
// nothing is fetched from there.
func TestRequestLines(t *testing.T) {
	s := standing(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "door of "+r.URL.Path) })
	for line, want := range map[string]string{
		"GET /a": "200 door of /a", "HEAD /a": "200 ", "DELETE /a": "200 door of /a", "OPTIONS /a": "200 door of /a", "OPTIONS *": "204 ", "GET http://127.0.0.1:1/a": "200 door of /a",
		"TRACE /a": "405 ", "CONNECT x:443": "405 ", "BREW /a": "405 ", "get /a": "405 ", "PROPFIND /a": "405 ", "PRI *": "405 ", "GET a": "400 ", "GET": "400 ", "GE\x00T /": "400 ", "G(T /": "400 ",
	} {
		method, _, _ := strings.Cut(line, " ")
		c := s.send(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		status, text, _ := strings.Cut(want, " ")
		if !strings.HasPrefix(resp.Status, status) || text != "" && string(body) != text {
			t.Errorf("%q: %s %q, want %s", line, resp.Status, body, want)
		}
		if resp.StatusCode == http.StatusMethodNotAllowed && (resp.Header.Get("Allow") == "" || strings.Contains(resp.Header.Get("Allow"), "TRACE") || !strings.Contains(string(body), "method_not_allowed")) {
			t.Errorf("%q: %v %s", line, resp.Header, body)
		}
	}
	huge := s.until(s.send("GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", maxHeader+8<<10) + "\r\n\r\n"))
	if !strings.HasPrefix(huge, "HTTP/1.1 431") {
		t.Errorf("huge headers: %.100q", huge)
	}
}

// Where nobody is asked who he is we are on an address that only this machine reaches. But a page can have its own name lead
// there, and then read and do everything with the browser of whoever looks at it: so we answer to names of this machine only.
func TestNameThatLeadsHere(t *testing.T) {
	asked := func(f *front, host string) int {
		r := httptest.NewRequest(http.MethodGet, "http://x/api/v1/presence", nil)
		r.Host = host
		w := httptest.NewRecorder()
		f.next = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
		f.ServeHTTP(w, r)
		return w.Code
	}
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "LocalHost:1": 200, "127.0.0.1": 200, "127.0.0.1:8080": 200, "127.1.2.3:80": 200, "[::1]": 200, "[::1]:8080": 200, "[::ffff:127.0.0.1]:1": 200, "": 200,
		"evil.example": 421, "evil.example:8080": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example:80": 421, "192.0.2.7:8080": 421, "0.0.0.0:8080": 421, "[2001:db8::1]:80": 421, "evil.localhost": 421, "localhost:8080:1": 421,
	} {
		if got := asked(&front{local: true}, host); got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
		if got := asked(&front{}, host); got != 200 {
			t.Errorf("Host %q where somebody is asked: %d", host, got)
		}
	}
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   bool
	}{
		"alone":           {func(*config.Config) {}, true},
		"with tokens":     {func(c *config.Config) { c.Auth.Mode = "jwt" }, false},
		"on purpose":      {func(c *config.Config) { c.Auth.AllowInsecure = true }, false},
		"behind somebody": {func(c *config.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.1"} }, false},
	} {
		var cfg config.Config
		cfg.Auth.Mode = "none"
		c.change(&cfg)
		if got := local(cfg); got != c.want {
			t.Errorf("%s: local is %v", name, got)
		}
	}
}

// A part that returned too early, or whose goroutine ended, was not noticed: the service went on without it.
func TestPartThatEnds(t *testing.T) {
	p := &program{log: slog.New(slog.DiscardHandler)}
	p.net = rescue.New(p.log, nil)
	for name, run := range map[string]func(context.Context) error{
		"returns":             func(context.Context) error { return nil },
		"ends its goroutine":  func(context.Context) error { runtime.Goexit(); return nil },
		"has its own context": func(context.Context) error { return context.Canceled },
	} {
		failed := make(chan error, 1)
		stop := p.start(part{name, run}, failed)
		select {
		case err := <-failed:
			if !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patient):
			t.Errorf("a part that %s is not noticed", name)
		}
		stop()
	}
	failed := make(chan error, 1)
	p.start(part{"good", func(ctx context.Context) error { <-ctx.Done(); return nil }}, failed)()
	if len(failed) != 0 {
		t.Errorf("a part that was stopped is reported: %v", <-failed)
	}
}

// Every answer has the headers that browsers need to be told, and a door may say them in its own way.
func TestHeadersOfEveryAnswer(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		w := &recorder{header: http.Header{}}
		f := &front{times: impatient, tls: encrypted, next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Referrer-Policy", "origin") })}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		f.ServeHTTP(w, r)
		if h := w.header; h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "origin" || (h.Get("Strict-Transport-Security") != "") != encrypted {
			t.Errorf("encrypted %v: %v", encrypted, h)
		}
	}
}

// recorder is a ResponseWriter that can nothing beside what it must.
type recorder struct{ header http.Header }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }

// A part whose run panics ends the service as one that fails does; what it is made of is taken down in order.
func TestPanicOfAPart(t *testing.T) {
	var log lines
	p := &program{log: slog.New(slog.NewTextHandler(&log, nil))}
	p.net = rescue.New(p.log, nil)
	failed := make(chan error, 1)
	stop := p.start(part{"bad", func(context.Context) error { panic("a bug") }}, failed)
	if err := <-failed; !errors.Is(err, rescue.ErrPanic) || !strings.HasPrefix(err.Error(), "bad: ") {
		t.Errorf("got %v", err)
	}
	stop()
	good := p.start(part{"good", func(ctx context.Context) error { <-ctx.Done(); return nil }}, failed)
	good()
	h := newHealth(nil, nil, func() bool { return false }, p.net, p.log) // without a database each look panics
	ctx, cancel := context.WithTimeout(t.Context(), 3*lookEvery)
	defer cancel()
	if err := h.run(ctx); err != nil {
		t.Error(err)
	}
	if told := strings.Split(strings.TrimSpace(log.String()), "\n"); len(told) != 2 || !slices.ContainsFunc(told, func(l string) bool { return strings.Contains(l, "TestPanicOfAPart") }) {
		t.Errorf("log %s", &log)
	}
}
