package socket

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"rollcall/internal/hall"
	"rollcall/internal/storetest"
)

// state returns what presence says of a user in conference 42, "" if it says nothing.
func (o *opened) state(t *testing.T, user string) string {
	t.Helper()
	r, err := o.house.State(t.Context(), "42")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Users {
		if e.UserID == user {
			return string(e.State)
		}
	}
	return ""
}

// A goodbye that comes while the socket is let in was taken for a lost link: the user stayed for the whole grace.
func TestGoodbyeWhileComingIn(t *testing.T) {
	o := open(t, nil)
	for i := range 20 {
		c := o.dial(t, fmt.Sprintf("EIO=4&userId=u%d&conferenceId=42", i))
		c.write("40")
		c.write("41")
		_ = c.conn.Close()
	}
	storetest.EventuallyWithin(t, 5*time.Second, func() bool { return o.hall.Sockets() == 0 }, "sockets are left")
	for i := range 20 {
		user := fmt.Sprintf("u%d", i)
		storetest.EventuallyWithin(t, 900*time.Millisecond, func() bool { return o.state(t, user) == "" }, user+" said goodbye and is still shown")
	}
}

// A user who is kicked at the very moment he comes in sat in the room without a session.
func TestKickWhileComingIn(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxSessionsPerUser = 1000 })
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				o.house.Kick(context.Background(), "anna", "42", "enough")
			}
		}
	})
	for range 50 {
		c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
		c.write("40")
		c.until("41") // sooner or later each is sent home
	}
	close(stop)
	all.Wait()
	storetest.Eventually(t, func() bool { return o.hall.Occupancy("42") == 0 && o.state(t, "anna") == "" }, "somebody who was kicked is still there")
}

// One connection has one socket: a second CONNECT ends it, or one client could open sessions without end.
func TestSecondConnect(t *testing.T) {
	o := open(t, nil)
	for _, packets := range [][]string{{"40", "40"}, {"40", "41", "40"}} {
		c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
		for _, p := range packets {
			c.write(p)
		}
		c.ended()
	}
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 && o.state(t, "anna") != "online" }, "a socket is left")
}

// A client that said "disconnect" as an event nested too deeply ended its own seat and stayed in the room, told of everything
// and seen by nobody. It is cut off, as with every packet that no client of good will sends.
func TestEventThatEndsTheSeatOfItsSender(t *testing.T) {
	o := open(t, nil)
	c := o.enter(t, "EIO=4&userId=anna&conferenceId=42")
	c.write(`42["disconnect",` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `]`)
	c.ended()
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 && o.hall.Occupancy("42") == 0 }, "a socket is left")
}

// A client that was sent home, or that said goodbye, and keeps its connection has it until the end of its farewell and no
// longer, whatever became of the timer of that.
func TestSeatThatIsGoneIsSwept(t *testing.T) {
	o := open(t, nil)
	c := o.enter(t, "EIO=4&userId=anna&conferenceId=42")
	c.write("41")
	storetest.Eventually(t, func() bool { return o.hall.Occupancy("42") == 0 }, "a socket that said goodbye is in its room")
	var seen map[*seat]int
	for range farewell / sweepEvery {
		if seen = o.sweep(seen); o.hall.Sockets() != 1 {
			t.Fatal("it was swept before its farewell is over")
		}
	}
	o.sweep(seen)
	c.ended()
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "a connection is left")
}

// Both lists are there, also when they are empty: clients go through them without a look.
func TestDiffHasBothLists(t *testing.T) {
	o := open(t, nil)
	c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
	c.write("40")
	c.event("presence_state")
	other := o.dial(t, "EIO=4&userId=ben&conferenceId=42")
	other.write("40")
	if d := string(c.event("presence_diff")); !strings.Contains(d, `"left":[]`) {
		t.Errorf("an arrival is told as %s", d)
	}
	other.write("41")
	if d := string(c.event("presence_diff")); !strings.Contains(d, `"changed":[]`) {
		t.Errorf("a departure is told as %s", d)
	}
}

// Naming nobodies must not be a way around the limit of sessions.
func TestLimitHoldsForNobodies(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxSessionsPerUser = 3 })
	for range 8 {
		c := o.dial(t, "EIO=4&conferenceId=42")
		c.write("40")
		c.until("40")
		c.write(`421["user_login",{"userId":"anna"}]`)
		c.until("431")
	}
	storetest.Eventually(t, func() bool { return len(o.hall.find(hall.Audience{Users: []string{"anna"}})) == 3 }, "the limit does not hold")
}

// A row larger than what may wait for a client is still a tree, and everybody who comes must get it.
func TestHugeTree(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxQueueBytes = 10_000 })
	text := `{"text":"` + strings.Repeat("x", 50_000) + `"}`
	if _, err := o.house.PutSection(t.Context(), "42", "topicInfo", json.RawMessage(text), nil); err != nil {
		t.Fatal(err)
	}
	c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
	c.write("40")
	if tree := c.event("note_tree"); len(tree) < 50_000 {
		t.Errorf("the tree has %d bytes", len(tree))
	}
	c.event("presence_state")
}

// A conference that a system client watches is not thereby registered.
func TestWatchedConferenceIsStillRegistered(t *testing.T) {
	o := open(t, nil)
	w := o.dial(t, "EIO=4&is_system=1&conferenceId=42")
	w.write("40")
	w.event("note_tree")
	c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
	c.write("40")
	c.event("welcome")
	if _, err := o.house.Get(t.Context(), "42"); err != nil {
		t.Errorf("the conference somebody is in: %v", err)
	}
}

// A long-polling client that gives up polls while something is pushed to it made two goroutines use one response.
func TestPollsGivenUpUnderPushes(t *testing.T) {
	o := open(t, nil)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				o.hall.Emit(hall.Audience{All: true}, "filler", json.RawMessage(`"x"`))
			}
		}
	})
	for range 200 {
		p := o.poll(t, "EIO=4")
		p.post("40")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		p.get(ctx)
		cancel()
	}
	close(stop)
	all.Wait()
}

// A long-polling client that does not read its answer must not hold up whoever pushes to it.
func TestPusherDoesNotWaitForPoller(t *testing.T) {
	o := open(t, func(c *Config) { c.PingInterval, c.PingTimeout = time.Second, time.Second })
	p := o.poll(t, "EIO=4&userId=anna")
	p.post("40")
	p.until("welcome")
	conn, err := net.Dial("tcp", strings.TrimPrefix(o.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", strings.TrimPrefix(p.url, o.url))
	waitingPoll(t, o)
	done := make(chan struct{})
	big := json.RawMessage(`"` + strings.Repeat("x", 900_000) + `"`)
	go func() {
		defer close(done)
		for range 20 {
			o.hall.Emit(hall.Audience{Users: []string{"anna"}}, "filler", big)
		}
	}()
	storetest.EventuallyWithin(t, 900*time.Millisecond, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, "pushing waits for a client that does not read")
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "a client that does not read is kept")
	if resp, err := http.Get(o.url + "/socket.io/?EIO=4&transport=polling"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards a newcomer is answered %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// The library began to wait for the answer to a heartbeat after it had sent it: an answer that was quicker ended no wait, and the
// wait that nobody ended closed sockets that answered every heartbeat.
func TestWhoAnswersEveryHeartbeatStays(t *testing.T) {
	o := open(t, func(c *Config) { c.PingInterval, c.PingTimeout = 300*time.Millisecond, 300*time.Millisecond })
	const clients, pings = 40, 15
	ended := make(chan error, clients)
	for i := range clients {
		c := o.dial(t, fmt.Sprintf("EIO=4&userId=u%d&conferenceId=42", i))
		c.write("40")
		go func() {
			for n := 0; n < pings; {
				_, data, err := c.conn.ReadMessage()
				if err == nil && string(data) == "2" {
					err, n = c.conn.WriteMessage(websocket.TextMessage, []byte("3")), n+1
				}
				if err != nil {
					ended <- fmt.Errorf("after %d heartbeats: %w", n, err)
					return
				}
			}
			ended <- nil
		}()
	}
	for range clients {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// What a client is told of heartbeats is what the configuration says, by either transport.
func TestHeartbeatIsTold(t *testing.T) {
	o := open(t, nil)
	for _, opening := range []string{o.dial(t, "EIO=4&userId=a").opening, o.dial(t, "EIO=3&userId=b").opening, o.poll(t, "EIO=4&userId=c").opening} {
		if want := map[bool]string{true: `"pingTimeout":60000`, false: `"pingTimeout":10000`}[strings.Contains(opening, `"pingInterval":25000`)]; !strings.Contains(opening, want) {
			t.Errorf("a session begins with %s", opening)
		}
	}
}
