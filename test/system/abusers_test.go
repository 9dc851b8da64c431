package system_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An abuser is this test binary in a process of its own, so that its garbage and its goroutines are not those of the clients
// that are measured. TestMain becomes one when abuserVar is set, to its order as JSON.
const abuserVar = "ROLLCALL_TEST_ABUSER"

// order is what an abuser is to do.
type order struct {
	Kind string
	Host string
	N    int
	For  time.Duration // of those that would never end
}

// deeds are what an abuser has done and what was done to it.
type deeds struct {
	Kind     string
	Opened   int           // connections or sessions
	Closed   int           // those of them that the server ended
	Longest  time.Duration // until it did
	Late     int           // those for which it took longer than any timeout
	Sent     int           // events or requests
	Answers  int           // to events
	Limited  int           // answers that said so
	Statuses map[int]int
	Took     time.Duration
	Trouble  string // the first of what should not be
}

// abuser collects deeds. Safe for concurrent use.
type abuser struct {
	order
	mu  sync.Mutex // guards did
	did deeds
}

// abuse obeys an order and prints what came of it.
func abuse(text string) int {
	a := &abuser{did: deeds{Statuses: map[int]int{}}}
	if err := json.Unmarshal([]byte(text), &a.order); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ways := map[string]func(){"flood": a.flood, "handshakes": a.handshakes, "slow": a.slow, "bodies": a.bodies}
	begin := time.Now()
	ways[a.Kind]()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.did.Kind, a.did.Took = a.Kind, time.Since(begin)
	if err := json.NewEncoder(os.Stdout).Encode(a.did); err != nil {
		return 1
	}
	return 0
}

func (a *abuser) note(f func(d *deeds)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.did)
}

func (a *abuser) trouble(format string, args ...any) {
	a.note(func(d *deeds) {
		if d.Trouble == "" {
			d.Trouble = fmt.Sprintf(format, args...)
		}
	})
}

// ended notes that the server has ended what was opened at some time.
func (a *abuser) ended(opened time.Time) {
	a.note(func(d *deeds) {
		took := time.Since(opened)
		if d.Closed, d.Longest = d.Closed+1, max(d.Longest, took); took > 13*time.Second {
			d.Late++
		}
	})
}

// socket opens a WebSocket by hand and returns a reader behind its OPEN.
func (a *abuser) socket(query string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.DialTimeout("tcp", a.Host, patient)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(patient))
	fmt.Fprintf(conn, "GET /socket.io/?EIO=4&transport=websocket&%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", query, toWebSocket)
	r := bufio.NewReaderSize(conn, 1024)
	resp, err := http.ReadResponse(r, nil)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err == nil {
		_, _, err = readFrame(r)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, r, nil
}

// flood sends N events a second on one socket, half of them with a wish for an answer, and comes back whenever it is closed.
func (a *abuser) flood() {
	const tick = 10 * time.Millisecond
	var burst []byte
	events := a.N * int(tick) / int(time.Second)
	for i := range events {
		text := `42["jywsping"]`
		if i%2 == 0 {
			text = fmt.Sprintf(`42%d["jywsping"]`, i)
		}
		burst = append(burst, frameOf(0x5a17c3e9, 0x81, text)...)
	}
	for end := time.Now().Add(a.For); time.Now().Before(end); {
		conn, r, err := a.socket(url.Values{"userId": {"flooder"}, "conferenceId": {"elsewhere"}}.Encode())
		if err != nil {
			a.trouble("a flooder could not come back: %v", err)
			return
		}
		opened := time.Now()
		a.note(func(d *deeds) { d.Opened++ })
		_, _ = conn.Write(frameOf(1, 0x81, "40"))
		if _, text, err := readFrame(r); err != nil || !bytes.HasPrefix(text, []byte("40")) {
			a.trouble("a flooder was not let in: %q, %v", text, err)
			return
		}
		closed := make(chan bool)
		go func() { a.listen(r); close(closed) }()
		a.pour(conn, burst, events, end, closed)
		if time.Now().Before(end) {
			a.ended(opened)
		}
		_ = conn.Close()
		<-closed
	}
}

// pour writes a burst every 10 ms until the connection is closed or the end has come.
func (a *abuser) pour(conn net.Conn, burst []byte, events int, end time.Time, closed <-chan bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(end) {
		select {
		case <-closed:
			return
		case <-tick.C:
		}
		_ = conn.SetWriteDeadline(end.Add(time.Second))
		if _, err := conn.Write(burst); err != nil {
			<-closed
			return
		}
		a.note(func(d *deeds) { d.Sent += events })
	}
}

// listen counts answers until the connection is over.
func (a *abuser) listen(r *bufio.Reader) {
	answers, limited := 0, 0
	for {
		_, text, err := readFrame(r)
		if err != nil {
			break
		}
		if bytes.HasPrefix(text, []byte("43")) {
			answers++
			if bytes.Contains(text, []byte("rate_limited")) {
				limited++
			}
		}
	}
	a.note(func(d *deeds) { d.Answers, d.Limited = d.Answers+answers, d.Limited+limited })
}

// handshakes opens N sessions that never send a CONNECT, a thousand a second, WebSockets and long-polling in turn, and waits for
// the server to end them all. It takes as long to open 10,000 as the server takes to end the first: all are open at the same time.
func (a *abuser) handshakes() {
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		sids  = map[string]time.Time{}
		agent = &http.Client{Timeout: patient, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	)
	base := "http://" + a.Host + "/socket.io/?EIO=4&transport=polling"
	begin := time.Now()
	parallel(a.N, 64, func(i int) {
		<-time.After(time.Until(begin.Add(time.Duration(i) * time.Millisecond)))
		opened := time.Now()
		if i%2 == 0 {
			conn, r, err := a.socket("userId=nobody")
			if err != nil {
				a.trouble("handshake %d: %v", i, err)
				return
			}
			a.note(func(d *deeds) { d.Opened++ })
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetReadDeadline(opened.Add(2 * patient))
				if _, err := io.Copy(io.Discard, r); !os.IsTimeout(err) {
					a.ended(opened)
				}
			})
			return
		}
		sid := sidOf([]byte(a.get(agent, base)))
		if sid == "" {
			a.trouble("handshake %d over polling failed", i)
			return
		}
		a.note(func(d *deeds) { d.Opened++ })
		mu.Lock()
		defer mu.Unlock()
		sids[sid] = opened
	})
	last := time.Now()
	all.Wait()
	<-time.After(time.Until(last.Add(12 * time.Second))) // the connect timeout, and a little
	known := make([]string, 0, len(sids))
	for sid := range sids {
		known = append(known, sid)
	}
	parallel(len(known), 64, func(i int) {
		if strings.Contains(a.get(agent, base+"&sid="+known[i]), "unknown") {
			a.note(func(d *deeds) { d.Closed++ })
		}
	})
}

func (a *abuser) get(agent *http.Client, address string) string {
	resp, err := agent.Get(address)
	if err != nil {
		a.trouble("%v", err)
		return ""
	}
	defer resp.Body.Close()
	a.note(func(d *deeds) { d.Statuses[resp.StatusCode]++ })
	text, _ := io.ReadAll(resp.Body)
	return strings.ToLower(string(text))
}

// slow opens N connections that send a byte a second, half of them in the head of a request and half in its body, and waits
// for the server to close them all.
func (a *abuser) slow() {
	const length = "Host: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
	var all sync.WaitGroup
	for i := range a.N {
		all.Go(func() {
			var head string
			switch {
			case i%2 == 0:
				head = pickOf(i/2, "", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "POST /api/v1/notices HTTP/1.1\r\n", "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost:")
			case i%8 == 3:
				head = "POST /socket.io/?EIO=4&transport=polling&sid=" + a.session() + " HTTP/1.1\r\n" + length
			default:
				head = pickOf(i/2, "POST /api/v1/notices", "PATCH /api/v1/conferences/elsewhere/tree", "GET /api/v1/nodes", "GET /healthz",
					"GET /socket.io/?EIO=4&transport=polling", "GET /docs", "POST /no/such/page") + " HTTP/1.1\r\n" + length
			}
			a.drip(head)
		})
	}
	all.Wait()
}

func pickOf(i int, list ...string) string { return list[i%len(list)] }

// session opens a session of long-polling that is in.
func (a *abuser) session() string {
	base := "http://" + a.Host + "/socket.io/?EIO=4&transport=polling"
	resp, err := http.Get(base + "&userId=dripper")
	if err != nil {
		a.trouble("%v", err)
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	sid := sidOf(text)
	if resp, err = http.Post(base+"&sid="+sid, "text/plain", strings.NewReader("40")); err == nil {
		resp.Body.Close()
	}
	return sid
}

// drip sends a head at once and then a byte a second.
func (a *abuser) drip(head string) {
	conn, err := net.DialTimeout("tcp", a.Host, patient)
	if err != nil {
		a.trouble("%v", err)
		return
	}
	defer conn.Close()
	opened := time.Now()
	a.note(func(d *deeds) { d.Opened++ })
	if _, err := io.WriteString(conn, head); err != nil {
		a.trouble("%v", err)
	}
	closed := make(chan bool)
	go func() {
		defer close(closed)
		_ = conn.SetReadDeadline(opened.Add(2 * patient))
		if _, err := io.Copy(io.Discard, conn); !os.IsTimeout(err) {
			a.ended(opened)
		}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-closed:
			return
		case <-tick.C:
			_, _ = io.WriteString(conn, "x") // whether it may go on, the reader finds out
		}
	}
}

// bodies sends as large bodies as are taken, and larger ones, with N requests at the same time.
func (a *abuser) bodies() {
	const limit = 262_144
	fill := func(head, tail string, size int) string {
		return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
	}
	requests := []struct{ method, path, body string }{
		{"PUT", "/api/v1/conferences/elsewhere/tree/topicInfo", fill(`{"a":"`, `"}`, 250_000)},
		{"PATCH", "/api/v1/conferences/elsewhere/tree", fill(`{"topicInfo":{"a":"`, `"}}`, limit)},
		{"PATCH", "/api/v1/conferences/elsewhere/tree", fill(`{"topicInfo":{"a":"`, `"}}`, limit+1)},
		{"POST", "/api/v1/notices", fill(`{"to":{"users":["nobody"]},"body":"`, `"}`, 60_000)},
		{"POST", "/api/v1/notices", fill(`{"to":{"users":["nobody"]},"body":"`, `"}`, limit)},
		{"POST", "/api/v1/push", fill(`{"userIds":[],"message":"`, `"}`, 2_000_000)},
		{"PATCH", "/api/v1/conferences/elsewhere/tree", strings.Repeat("[", limit)},
		{"POST", "/api/v1/users", `{"users":[` + strings.Repeat(`{"id":"u"},`, 20_000) + `{"id":"u"}]}`},
	}
	agent := &http.Client{Timeout: patient, Transport: &http.Transport{MaxIdleConnsPerHost: a.N}}
	end := time.Now().Add(a.For)
	var next atomic.Int64
	parallel(a.N, a.N, func(int) {
		for time.Now().Before(end) {
			one := requests[int(next.Add(1))%len(requests)]
			req, err := http.NewRequest(one.method, "http://"+a.Host+one.path, strings.NewReader(one.body))
			if err != nil {
				a.trouble("%v", err)
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := agent.Do(req)
			if err != nil {
				a.refused(err)
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			a.note(func(d *deeds) { d.Sent++; d.Statuses[resp.StatusCode]++ })
			if !slices.Contains([]int{200, 201, 202, 400, 413, 422, 429, 503}, resp.StatusCode) { // the last two: later
				a.trouble("%s %s of %d bytes was answered %d", one.method, one.path, len(one.body), resp.StatusCode)
			}
		}
	})
}

// refused notes a request that the server cut off: it may close the connection of a body that it will not read to its end.
func (a *abuser) refused(err error) {
	a.note(func(d *deeds) { d.Sent++; d.Statuses[0]++ })
	if os.IsTimeout(err) {
		a.trouble("%v", err)
	}
}
