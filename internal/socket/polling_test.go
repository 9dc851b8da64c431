package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// poller is a bare long-polling client.
type poller struct {
	t      *testing.T
	url    string
	header http.Header // of every request

	opening string // the first packet, without its type
}

// poll opens a long-polling session.
func (o *opened) poll(t *testing.T, query string) *poller {
	t.Helper()
	return o.pollWith(t, query, nil)
}

func (o *opened) pollWith(t *testing.T, query string, header http.Header) *poller {
	t.Helper()
	p := &poller{t: t, url: o.url + "/socket.io/?transport=polling&" + query, header: header}
	status, body := p.get(context.Background())
	if status != http.StatusOK {
		t.Fatalf("the handshake was answered %d %q", status, body)
	}
	open := body[strings.Index(body, "{"):] // behind "0", and behind a length with EIO=3
	end := strings.Index(open, "}") + 1
	var hello struct{ Sid string }
	if err := json.Unmarshal([]byte(open[:end]), &hello); err != nil || hello.Sid == "" {
		t.Fatalf("OPEN is %q: %v", body, err)
	}
	p.url, p.opening = p.url+"&sid="+hello.Sid, open[:end]
	return p
}

func (p *poller) get(ctx context.Context) (int, string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	return p.do(req)
}

func (p *poller) post(body string) (int, string) {
	req, err := http.NewRequest(http.MethodPost, p.url, strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	return p.do(req)
}

func (p *poller) do(req *http.Request) (int, string) {
	for name, values := range p.header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// until polls until a packet holds text, and returns all that came.
func (p *poller) until(text string) string {
	p.t.Helper()
	all := ""
	for range 20 {
		status, body := p.get(context.Background())
		if status != http.StatusOK {
			p.t.Fatalf("a poll was answered %d %q", status, body)
		}
		if all += body; strings.Contains(all, text) {
			return all
		}
	}
	p.t.Fatalf("%q did not come: %q", text, all)
	return ""
}

// over expects that the session is gone. Polls that came while it was ending were ended with it.
func (p *poller) over() {
	p.t.Helper()
	status, body := 0, ""
	for range 20 {
		if status, body = p.get(context.Background()); status != http.StatusOK || body != "6" && body != "1" {
			break
		}
	}
	if status != http.StatusBadRequest {
		p.t.Errorf("after the end of the session a poll was answered %d %q, want 400", status, body)
	}
}

func TestPollingCarriesTheWholeProtocol(t *testing.T) {
	o := open(t, nil)
	p := o.poll(t, "EIO=4&userId=anna&conferenceId=42")
	if status, body := p.post("40"); status != 200 || body != "ok" {
		t.Fatalf("CONNECT was answered %d %q", status, body)
	}
	all := p.until("presence_state")
	if !strings.Contains(all, `42["welcome",`) || !strings.Contains(all, `42["note_tree",`) {
		t.Errorf("what came is %q", all)
	}
	if status, _ := p.post(`420["jywsping"]`); status != 200 {
		t.Fatal("the event was refused")
	}
	p.until(`430[{"ok":true`)
}

// The library's own polling lets these go unnoticed.
func TestPollingEndsWithAMistake(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxPayload = 2048 })
	connected := func(t *testing.T) *poller {
		p := o.poll(t, "EIO=4&userId=anna&conferenceId=42")
		if status, body := p.post("40"); status != 200 {
			t.Fatal(status, body)
		}
		p.until("presence_state")
		return p
	}
	t.Run("invalid packet", func(t *testing.T) {
		p := connected(t)
		if status, _ := p.post("abc"); status != http.StatusBadRequest {
			t.Errorf("answered %d, want 400", status)
		}
		p.over()
	})
	t.Run("too large", func(t *testing.T) {
		p := connected(t)
		if status, _ := p.post("4" + strings.Repeat("x", 5000)); status != http.StatusRequestEntityTooLarge {
			t.Errorf("answered %d, want 413", status)
		}
		p.over()
	})
	t.Run("duplicate poll", func(t *testing.T) {
		p := connected(t)
		first := make(chan string, 1)
		go func() {
			status, body := p.get(context.Background())
			first <- fmt.Sprint(status, " ", body)
		}()
		waitingPoll(t, o)
		if status, _ := p.get(context.Background()); status != http.StatusBadRequest {
			t.Errorf("the second poll was answered %d, want 400", status)
		}
		if got := <-first; got != "200 1" {
			t.Errorf("the first poll was answered %q, want a CLOSE packet", got)
		}
		p.over()
	})
	t.Run("cancelled poll", func(t *testing.T) {
		p := connected(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.get(ctx)
		}()
		waitingPoll(t, o)
		cancel()
		<-done
		storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "the session outlives its cancelled poll")
		p.over()
	})
}

// waitingPoll waits until the only session has a poll waiting.
func waitingPoll(t *testing.T, o *opened) {
	t.Helper()
	storetest.Eventually(t, func() bool {
		for _, s := range o.hall.seats() {
			if p, ok := s.conn.Transport().(*polling); ok {
				p.mu.Lock()
				waits := p.poll != nil
				p.mu.Unlock()
				if waits {
					return true
				}
			}
		}
		return false
	}, "no poll waits")
}

// Nothing that is sent while a session changes from polling to WebSocket may be lost, doubled or reordered.
func TestUpgradeLosesNothing(t *testing.T) {
	o := open(t, nil)
	rounds := storetest.Size(2000, 40)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for round := worker; round < rounds && !t.Failed(); round += 4 {
				if err := o.upgradeUnderLoad(t, fmt.Sprintf("u%d", round)); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
		})
	}
	all.Wait()
	storetest.Show(t, "0 events lost, doubled or reordered in %d upgrades from polling to WebSocket under load", rounds)
}

// upgradeUnderLoad lets a user come in by polling and change to WebSocket while events are sent to him.
func (o *opened) upgradeUnderLoad(t *testing.T, user string) error {
	p := o.poll(t, "EIO=4&userId="+user+"&conferenceId="+user)
	p.post("40")
	p.until("presence_state")
	seats := o.hall.rooms.in(userRoom(user))
	if len(seats) != 1 {
		return fmt.Errorf("%d seats", len(seats))
	}
	const events = 200
	sent := make(chan error, 1)
	push := func(name string, i int) error {
		f, err := eventOf(name, i)
		if err == nil {
			seats[0].push(f)
		}
		return err
	}
	go func() {
		var err error
		for i := 0; i < events && err == nil; i++ {
			err = push("count", i)
		}
		sent <- errors.Join(err, push("last", 0))
	}()
	ws := o.upgrade(t, p)
	defer ws.conn.Close()
	got := ws.polled
	for len(got) == 0 || !strings.HasPrefix(got[len(got)-1], `42["last"`) {
		got = append(got, ws.read())
	}
	next := 0
	for _, packet := range got {
		if !strings.HasPrefix(packet, `42["count",`) {
			continue
		}
		if want := fmt.Sprintf(`42["count",%d]`, next); packet != want {
			return fmt.Errorf("%q came, want %q", packet, want)
		}
		next++
	}
	if next != events {
		return fmt.Errorf("%d of %d events came", next, events)
	}
	return <-sent
}

// upgraded is a client that has changed from polling to WebSocket, with the packets that polling brought meanwhile.
type upgraded struct {
	*webSocketClient
	polled []string
}

// upgrade goes the way of the stock clients: probe, wait for the running poll to end, switch.
func (o *opened) upgrade(t *testing.T, p *poller) *upgraded {
	t.Helper()
	u := &upgraded{webSocketClient: o.dialUpgrade(t, p)}
	polled := make(chan string, 1)
	go func() {
		_, body := p.get(context.Background())
		polled <- body
	}()
	u.write("2probe")
	if pong := u.read(); pong != "3probe" {
		t.Fatalf("the probe was answered %q", pong)
	}
	u.polled = strings.Split(<-polled, "\x1e")
	u.write("5")
	return u
}

// A client that changed to WebSocket and then said nothing more was never missed: the library ends its wait for a heartbeat with
// the upgrade, and began no other. With it its user stayed online for ever.
func TestSilenceAfterUpgrade(t *testing.T) {
	o := open(t, func(c *Config) {
		c.PingInterval, c.PingTimeout, c.EIO3PingInterval, c.EIO3PingTimeout = 300*time.Millisecond, 5*time.Second, time.Second, time.Second
	})
	for _, eio := range []int{3, 4} {
		t.Run(fmt.Sprint(eio), func(t *testing.T) {
			t.Parallel()
			p := o.poll(t, fmt.Sprintf("EIO=%d&userId=u%d&conferenceId=42", eio, eio))
			if eio == 4 {
				p.post("40")
			}
			next := p.packets(eio)
			for shown, beat := false, eio == 3; !shown || !beat; { // in 4 there is a heartbeat, which is not answered
				packet := next()
				shown, beat = shown || strings.Contains(packet, "presence_state"), beat || packet == "2"
			}
			u := o.upgrade(t, p)
			u.ended()
		})
	}
}

// The library answers a probe and then sets a timer that ends polls. When the polling session ended while the answer was on its
// way, nothing stopped that timer any more, and a client could have thousands of them tick for ever. So it never sees a probe, and
// what we have instead ends with the WebSocket.
func TestProbeLeavesNothingBehind(t *testing.T) {
	o := open(t, nil)
	hastening := func() bool {
		all := make([]byte, 1<<20)
		return strings.Contains(string(all[:runtime.Stack(all, true)]), ").hasten(")
	}
	p := o.poll(t, "EIO=4&userId=anna")
	p.post("40")
	p.until("welcome")
	_ = o.seatOf(t, "anna").conn.On("upgrading", func(...any) { t.Error("the library has seen a probe") })
	ws := o.dialUpgrade(t, p)
	for range 3 {
		ws.write("2probe")
		if got := ws.read(); got != "3probe" {
			t.Fatalf("the probe was answered %q", got)
		}
	}
	storetest.Eventually(t, hastening, "no poll is ended")
	if _, body := p.get(t.Context()); body != "6" { // it waited for nothing else
		t.Errorf("the poll brought %q", body)
	}
	if all := make([]byte, 1<<20); strings.Count(string(all[:runtime.Stack(all, true)]), ").hasten(") > 1 {
		t.Error("each probe has a timer of its own")
	}
	_ = ws.conn.Close()
	storetest.Eventually(t, func() bool { return !hastening() }, "something goes on behind a WebSocket that has ended")
	u := o.upgrade(t, p)
	if a := u.ask("jywsping"); !a.OK {
		t.Error(a.text)
	}
	storetest.Eventually(t, func() bool { return !hastening() }, "polls are ended of a session that has switched")
}
