package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/hall"
	"rollcall/internal/rescue"
	"rollcall/internal/storetest"
)

// openBroken builds a door without a house behind it: whatever asks the house for something panics.
func openBroken(t *testing.T) *opened {
	t.Helper()
	c := open(t, nil).Config
	log := slog.New(slog.DiscardHandler)
	o := &opened{registry: prometheus.NewRegistry()}
	c.Net, c.Metrics, c.Log, c.Ready = rescue.New(log, o.registry), o.registry, log, o.readiness
	o.Door = New(c, NewHall(log), nil, nil)
	server := httptest.NewServer(o.Door)
	o.url = server.URL
	t.Cleanup(func() {
		o.Close(0)
		server.Close()
	})
	return o
}

// nobody connects somebody for whom nothing is asked of the house.
func (o *opened) nobody(t *testing.T) (*webSocketClient, *seat) {
	t.Helper()
	c := o.enter(t, "EIO=4")
	for _, s := range o.hall.seats() {
		return c, s
	}
	t.Fatal("there is no seat")
	return nil, nil
}

// caught returns how many panics of a work were caught.
func (o *opened) caught(t *testing.T, work string) float64 {
	t.Helper()
	return o.counted(t, "rollcall_panics_total", work)
}

// panicky is something to send that cannot be read.
type panicky struct{}

func (panicky) Read([]byte) (int, error) { panic("a bug") }

// bugs are ways to make a connection meet one, and the work that it is counted for.
var bugs = []struct {
	work  string
	cause func(t *testing.T, o *opened)
}{
	{"let a socket in", func(t *testing.T, o *opened) {
		c := o.dial(t, "EIO=4&userId=anna")
		c.write("40")
		c.ended()
	}},
	{"let a socket in", func(t *testing.T, o *opened) { o.dial(t, "EIO=3&userId=anna").ended() }},
	{"welcome a socket", func(t *testing.T, o *opened) {
		c := o.dial(t, "EIO=4&is_system=1&conferenceId=42")
		c.write("40")
		c.ended()
	}},
	{"event chat message", func(t *testing.T, o *opened) {
		c, _ := o.nobody(t)
		if a := c.ask("chat message", `"x"`); a.Error.Code != "internal" || strings.Contains(a.text, "nil") {
			t.Errorf("it was answered %s", a.text)
		}
		c.ended()
	}},
	{"packet", func(t *testing.T, o *opened) {
		c, s := o.nobody(t)
		s.sit(person{userID: "anna"})
		o.hall.EmitAcked(hall.Audience{All: true}, "n1", "notice", json.RawMessage(`1`))
		_, number := c.said("notice")
		c.write("43" + number + "[]")
		c.ended()
	}},
	{"read", func(t *testing.T, o *opened) {
		c, s := o.nobody(t)
		_, in := s.conn.Transport().(carrier).ends()
		in.rejected = func(string) { panic("a bug") }
		for range 60 {
			if c.conn.WriteMessage(websocket.TextMessage, []byte(`42["x"]`)) != nil {
				break
			}
		}
		c.ended()
	}},
	{"write", func(t *testing.T, o *opened) {
		c, s := o.nobody(t)
		s.box.mu.Lock()
		s.box.waiting = append(s.box.waiting, nil)
		s.box.mu.Unlock()
		s.box.holder().ready()
		c.ended()
	}},
	{"send", func(t *testing.T, o *opened) { // as the library does in a timer of its own, when it pings
		c, s := o.nobody(t)
		s.conn.Send(panicky{}, nil, nil)
		c.ended()
	}},
	{"disconnect", func(t *testing.T, o *opened) {
		c, s := o.nobody(t)
		s.sit(person{sessionID: "s1"}) // of whose end the house is told
		_ = c.conn.Close()
	}},
	{"end a stay", func(t *testing.T, o *opened) {
		c, s := o.nobody(t)
		s.sit(person{sessionID: "s1"})
		s.mu.Lock()
		s.term.until = time.Now()
		s.mu.Unlock()
		s.attempt("end a stay", s.expire)
		c.ended()
	}},
}

// Wherever a bug shows itself, it is counted, costs its own connection, and nobody else's: the socket is gone, nothing waits
// for ever, and the next client comes in.
func TestPanicsCostTheirConnection(t *testing.T) {
	o := openBroken(t)
	for _, c := range bugs {
		before := o.caught(t, c.work)
		c.cause(t, o)
		storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, c.work+": the seat stays")
		if n := o.caught(t, c.work); n != before+1 {
			t.Errorf("%s: %v panics were counted, want %v", c.work, n, before+1)
		}
		o.hall.mu.Lock()
		left := len(o.hall.sessions)
		o.hall.mu.Unlock()
		if left != 0 {
			t.Errorf("%s: %d sessions are left in the hall", c.work, left)
		}
	}
	if c, _ := o.nobody(t); !c.ask("jywsping").OK {
		t.Error("the door does not work any more")
	}
}

// The same by long-polling, where also the request that waits is answered.
func TestPanicsWhilePolling(t *testing.T) {
	o := openBroken(t)
	connected := func(t *testing.T) (*poller, *seat) {
		p := o.poll(t, "EIO=4")
		p.post("40")
		p.until("welcome")
		return p, o.hall.seats()[0]
	}
	for work, cause := range map[string]func(t *testing.T){
		"answer a poll": func(t *testing.T) {
			p, s := connected(t)
			done := make(chan string, 1)
			go func() {
				status, body := p.get(context.Background())
				done <- fmt.Sprint(status, body)
			}()
			waitingPoll(t, o)
			s.conn.Transport().(*polling).end("nonsense")
			if got := <-done; got != "500" {
				t.Errorf("the poll was answered %s", got)
			}
			p.over()
		},
		"poll": func(t *testing.T) {
			p, s := connected(t)
			_, in := s.conn.Transport().(carrier).ends()
			in.rejected = func(string) { panic("a bug") }
			if status, body := p.post(strings.Repeat("42[\"x\"]\x1e", 60)); status != http.StatusInternalServerError || body != "" {
				t.Errorf("the POST was answered %d %s", status, body)
			}
			p.over()
		},
		"send": func(t *testing.T) {
			p, s := connected(t)
			s.conn.Send(panicky{}, nil, nil)
			p.over()
		},
	} {
		cause(t)
		storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, work+": the seat stays")
		if n := o.caught(t, work); n != 1 {
			t.Errorf("%s: %v panics were counted", work, n)
		}
	}
}

// A bug before there is a session closes the connection of the request.
func TestPanicInARequest(t *testing.T) {
	o := openBroken(t)
	o.ready = func() error { panic("a bug") }
	for _, transport := range []string{"polling", "websocket"} {
		if resp, err := http.Get(o.url + "/socket.io/?EIO=4&transport=" + transport); err == nil {
			resp.Body.Close()
			t.Errorf("answered %d", resp.StatusCode)
		}
	}
	if n := o.caught(t, "answer a request"); n != 2 {
		t.Errorf("%v panics were counted", n)
	}
}

// A lane goes on behind a bug, and so does the sweep; the decoder makes an error of it, which ends the session.
func TestWhatGoesOnAfterAPanic(t *testing.T) {
	registry := prometheus.NewRegistry()
	o := &opened{Door: &Door{Config: Config{Net: rescue.New(slog.New(slog.DiscardHandler), registry)}}, registry: registry}
	l := lane{net: o.Net}
	done := make(chan bool, 2)
	l.do(func() { panic("a bug") })
	l.do(func() { done <- true })
	<-done
	l.do(func() { done <- true }) // by now it may be at rest
	<-done
	if n := o.caught(t, "lane"); n != 1 {
		t.Errorf("%v panics were counted in the lane", n)
	}
	synctest.Test(t, func(t *testing.T) {
		o.hall = NewHall(slog.New(slog.DiscardHandler))
		o.hall.conns["broken"] = &seat{}
		ctx, cancel := context.WithTimeout(t.Context(), 2*sweepEvery+time.Second)
		defer cancel()
		_ = o.Run(ctx)
	})
	if n := o.caught(t, "sweep"); n != 2 {
		t.Errorf("%v panics were counted in two sweeps", n)
	}
	if err := (wire{o.Net}).NewDecoder().Add((*types.StringBuffer)(nil)); !errors.Is(err, rescue.ErrPanic) {
		t.Errorf("the decoder said %v", err)
	}
}
