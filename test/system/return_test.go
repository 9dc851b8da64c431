package system_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// crowd is stock clients of both generations with their reconnection on.
type crowd struct {
	*server
	clients []*clienttest.Client
}

// gather lets n clients of each kind come into conference 42.
func (s *server) gather(n int) *crowd {
	s.t.Helper()
	driver := clienttest.Start(s.t)
	c := &crowd{server: s}
	for i := range n {
		for kind, o := range []clienttest.Options{{Transports: []string{"websocket"}}, {Version: 2, Transports: []string{"websocket"}}, {}, {Version: 2}} {
			o.URL, o.Reconnect = s.base, true
			o.Query = map[string]string{"userId": fmt.Sprintf("u%d-%d", i, kind), "conferenceId": "42"}
			c.clients = append(c.clients, driver.Connect(s.t, o))
		}
	}
	c.allBack("did not come in at the start")
	return c
}

// allBack waits until the server counts every client, and nobody else.
func (c *crowd) allBack(what string) {
	c.t.Helper()
	storetest.EventuallyWithin(c.t, 60*time.Second, func() bool {
		var p struct{ Online int }
		status, _ := c.call("GET", "/api/v1/conferences/42/presence", nil, &p)
		return status == 200 && p.Online == len(c.clients) && c.metric("rollcall_sockets") == float64(len(c.clients))
	}, fmt.Sprintf("%d clients %s", len(c.clients), what))
}

// Whatever happens to the node or its database, stock clients come back by themselves.
func TestStockClientsComeBack(t *testing.T) {
	impatient := settings{"presence.grace": "3s", "presence.node_timeout": "3s", "presence.node_heartbeat": "500ms", "database.timeout": "1s"}
	t.Run("killed", func(t *testing.T) {
		c := launch(t, store.MySQL, impatient).gather(storetest.Size(25, 5))
		c.kill()
		c.start()
		c.allBack("did not all come back after kill -9")
		storetest.Show(t, "stranded 0 of %d after kill -9 and restart", len(c.clients))
	})
	t.Run("drained", func(t *testing.T) {
		s := launch(t, store.MySQL, impatient)
		c := s.gather(storetest.Size(25, 5))
		c.stop()
		c.start()
		c.allBack("did not all come back after a planned stop")
		told := 0
		for _, client := range c.clients {
			told += len(client.Events("server_draining"))
			if n := len(client.Events("offline_notice")); n > 0 {
				t.Errorf("a client was told %d times that somebody went", n)
			}
		}
		if told != len(c.clients) {
			t.Errorf("%d of %d clients were told that the server drains", told, len(c.clients))
		}
		storetest.Show(t, "stranded 0 of %d after a planned stop; all were told before, nobody was shown offline", len(c.clients))
	})
	t.Run("database away", func(t *testing.T) {
		db := storetest.DSN(t, store.MySQL)
		parsed, err := mysql.ParseDSN(db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		line := storetest.NewLine(t, parsed.Addr)
		parsed.Net, parsed.Addr = "tcp", line.Addr()
		with := settings{"database.dsn": parsed.FormatDSN()}
		for k, v := range impatient {
			with[k] = v
		}
		c := launch(t, store.MySQL, with).gather(storetest.Size(25, 5))
		line.Cut()
		storetest.Eventually(t, func() bool { status, _ := c.call("GET", "/readyz", nil, nil); return status == 503 }, "the node stays ready without its database")
		stayed := c.metric("rollcall_sockets")
		for _, client := range c.clients[:len(c.clients)/2] {
			client.Abort(t) // half of them lose their link meanwhile, and must find their way back
		}
		storetest.Eventually(t, func() bool {
			_, err := join(c.base, "newcomer", "42")
			return err != nil && strings.Contains(err.Error(), "503")
		}, "a newcomer without a database is not answered 503")
		if status, h := c.call("PATCH", "/api/v1/conferences/42/tree", `{"timer":{}}`, nil); status != 503 || h.Get("Retry-After") == "" {
			t.Errorf("a patch without a database was answered %d with Retry-After %q", status, h.Get("Retry-After"))
		}
		if status, _ := c.call("GET", "/api/v1/conferences/42/tree", nil, nil); status != 200 {
			t.Errorf("a tree in memory was answered %d", status)
		}
		line.Mend()
		begin := time.Now()
		c.allBack("did not all come back after the database was away")
		storetest.Show(t, "stranded 0 of %d after the database was away (%.0f sockets stayed meanwhile, half lost their link); converged %v after its return", len(c.clients), stayed, time.Since(begin).Round(10*time.Millisecond))
	})
}

// A client that does not read is closed once too much waits for it, and comes back.
func TestSlowClientComesBack(t *testing.T) {
	for _, version := range []int{4, 2} {
		t.Run(fmt.Sprintf("%d.x", version), func(t *testing.T) {
			s := launch(t, store.MySQL, settings{"socket.max_queue_bytes": "300000", "presence.grace": "3s"})
			slow := clienttest.Start(t).Connect(t, clienttest.Options{URL: s.base, Version: version, Reconnect: true, Transports: []string{"websocket"}, Query: map[string]string{"userId": "slow", "conferenceId": "42"}})
			quick, err := join(s.base, "quick", "42")
			if err != nil {
				t.Fatal(err)
			}
			defer quick.leave()
			slow.Freeze(t)
			big := strings.Repeat("x", 60_000)
			pushes := 0
			storetest.EventuallyWithin(t, 30*time.Second, func() bool {
				s.must("POST", "/api/v1/push", map[string]any{"userIds": []string{"slow"}, "message": big, "destination": "filler"}, nil)
				pushes++
				return s.metric("rollcall_slow_clients_total") == 1
			}, "a client that does not read was not closed")
			slow.Thaw(t)
			slow.WaitDisconnect(t)
			slow.WaitConnect(t)
			slow.Wait(t, "note_tree", number(2))
			storetest.Show(t, "a client that stopped reading was closed after %d KiB and came back by itself", pushes*60)
		})
	}
}

// Browsers slow the timers of hidden tabs down to one a minute, and a 2.x client drives its own heartbeat from one. An
// ordinary run plays this at a tenth of the time, with a tenth of the configured times.
func TestHiddenTabStaysOnline(t *testing.T) {
	pause, with := 6*time.Second, settings{"socket.eio3_ping_interval": "2500ms", "socket.eio3_ping_timeout": "6s"}
	if storetest.Proving() {
		pause, with = time.Minute, nil
	}
	const beats = 3
	s := launch(t, store.SQLite, with)
	w, err := dial(s.base, url.Values{"EIO": {"3"}, "userId": {"hidden"}, "conferenceId": {"42"}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.vanish()
	go w.read()
	if !w.wait(10*time.Second, func() bool { return w.online == 1 }) {
		t.Fatal("the 2.x client did not come in")
	}
	begin := time.Now()
	for range beats {
		if w.wait(pause, func() bool { return w.err != nil }) {
			t.Fatalf("dropped after %v: %v", time.Since(begin), w.err)
		}
		w.send("2")
	}
	if !w.wait(5*time.Second, func() bool { return w.pongs == beats }) {
		t.Fatalf("%d of %d heartbeats were answered", w.pongs, beats)
	}
	storetest.Show(t, "0 drops in %v of a 2.x client whose timer fires every %v", time.Since(begin).Round(time.Second), pause)
}
