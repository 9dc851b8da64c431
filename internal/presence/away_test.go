package presence

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// wire is a TCP proxy that can be cut. mu guards the rest.
type wire struct {
	net.Listener
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *wire) serve(target string) {
	for c, err := w.Accept(); err == nil; c, err = w.Accept() {
		d, err := net.Dial("tcp", target)
		w.mu.Lock()
		if w.conns = append(w.conns, c); err != nil || w.cut {
			_ = c.Close()
		} else {
			go func() { _, _ = io.Copy(d, c); _ = d.Close() }()
			go func() { _, _ = io.Copy(c, d); _ = c.Close() }()
		}
		w.mu.Unlock()
	}
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// The database is away for a while: opens are told so, a close is kept and written when it is back, nobody else
// goes, and the process is not expelled.
func TestDatabaseAway(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	go w.serve(dsn.Addr)
	t.Cleanup(func() { _ = l.Close(); w.set(true) })
	dsn.Addr = l.Addr().String()
	c.DSN, c.Timeout = dsn.FormatDSN(), 2*time.Second
	db := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), db.SQL(), store.MySQL); err != nil {
		t.Fatal(err)
	}

	n := start(t, db, func(p *Presence) { p.cfg.Expelled = func() { t.Error("expelled") } })
	anna, _ := n.open(t, "anna")
	n.open(t, "bob")
	w.set(true)
	if _, err := n.Open(t.Context(), session("c", "eve")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("open while away: %v", err)
	}
	n.Close(anna, Left)
	storetest.Eventually(t, func() bool { return n.queue.len() > 0 }, "the close waits")
	w.set(false)
	storetest.Eventually(t, func() bool { // not becomes: the link may still be broken
		all, err := n.StateOf(t.Context(), [][2]string{{"c", "anna"}})
		return err == nil && all[[2]string{"c", "anna"}].State == Offline
	}, "the close is written")
	if got := n.truth(t, "anna").Reason; got != Left {
		t.Errorf("reason %q: the close was lost and had to be healed", got)
	}
	if got := n.state(t, "bob"); got != Online {
		t.Errorf("bob is %s", got)
	}
	storetest.Eventually(t, func() bool { return n.Held() == 1 }, "only bob is held")
}
