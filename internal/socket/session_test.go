package socket

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// goroutines returns how many goroutines there are with a function of the given name in them.
func goroutines(t *testing.T, name string) (n int) {
	t.Helper()
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 2); err != nil {
		t.Fatal(err)
	}
	for each := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(each, name) {
			n++
		}
	}
	return n
}

// A socket that does nothing has one goroutine, which waits, and lets go of its request.
func TestIdleSocketIsSmall(t *testing.T) {
	o := open(t, nil)
	const clients, timer = 20, "utils.SetTimeout"
	before := goroutines(t, timer) // sessions that other tests have polled
	for i := range clients {
		o.enter(t, fmt.Sprintf("EIO=4&userId=user-%d", i))
	}
	for _, s := range o.hall.seats() {
		c := s.conn.(*session)
		if c.Request() != c.revision.spent || len(c.Request().Headers().All()) > 0 {
			t.Error("a socket that was let in has a request")
		}
	}
	// A timer of the library that was stopped a moment ago may still be about to end.
	for deadline := time.Now().Add(10 * time.Second); ; {
		readers, timers := goroutines(t, "(*webSocket).read("), goroutines(t, timer)
		if readers == clients && timers <= before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets have %d goroutines that read and %d that wait for a time", clients, readers, timers)
		}
	}
}

// A large message that takes its time is no reason to say nothing meanwhile.
func TestHeartbeatComesDuringAMessage(t *testing.T) {
	o := open(t, func(c *Config) { c.PingInterval = 100 * time.Millisecond })
	c := o.enter(t, "EIO=4&userId=anna")
	w, err := c.conn.NextWriter(websocket.TextMessage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, strings.Repeat("4", 8<<10)); err != nil { // more than the client keeps: some of it is sent
		t.Fatal(err)
	}
	for range 3 {
		c.until("2")
	}
}

// A session that is a WebSocket cannot be upgraded, nor polled.
func TestWebSocketIsNotUpgraded(t *testing.T) {
	o := open(t, nil)
	c := o.enter(t, "EIO=4&userId=anna")
	var sid string
	for _, s := range o.hall.seats() {
		sid = s.conn.Id()
	}
	second, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(o.url, "http")+"/socket.io/?EIO=4&transport=websocket&sid="+sid, nil)
	if err == nil {
		_ = second.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, text, err := second.ReadMessage(); err == nil {
			t.Errorf("a second WebSocket of the session was told %s", text)
		}
		_ = second.Close()
	}
	answer, err := http.Get(o.url + "/socket.io/?EIO=4&transport=polling&sid=" + sid)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a poll of the session was answered %s", answer.Status)
	}
	if !c.ask("jywsping").OK {
		t.Error("the session did not survive that")
	}
}

// An upgrade that is none is answered as the library does.
func TestBadUpgrade(t *testing.T) {
	o := open(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket") // and no key
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusBadRequest || string(body) != `{"code":3,"message":"Bad request"}` {
		t.Errorf("it was answered %s %s, %v", answer.Status, body, err)
	}
}

// Whoever breaks the rules of the protocol's revision is disconnected.
func TestHeartbeatOfTheOtherRevision(t *testing.T) {
	o := open(t, nil)
	for query, packet := range map[string]string{"EIO=4&userId=anna": "2", "EIO=3&userId=ben": "3"} {
		c := o.enter(t, query)
		c.write(packet)
		c.ended()
	}
	c := o.enter(t, "EIO=3&userId=carl")
	c.write("2")
	c.until("3")
}
