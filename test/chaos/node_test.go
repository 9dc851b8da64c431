package chaos_test

import (
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// openTimeout is how long a node may take to serve: it may have to wait for a node timeout.
const openTimeout = 60 * time.Second

// node is one place where the program runs, again and again: its id, its port and its log stay.
type node struct {
	*town
	id      string
	base    string // http://127.0.0.1:port, since it first served
	rows    *link  // to the database
	cache   *link  // to Redis
	log     servertest.Log
	process *servertest.Process // the last one, nil before the first
	answers atomic.Bool         // it runs and was not stopped
}

func newNode(town *town, id string) *node {
	return &node{town: town, id: id, rows: newLink(town.t, "database", town.dsn.Addr), cache: newLink(town.t, "redis", storetest.RedisAddr(town.t))}
}

// settings are those of this node.
func (n *node) settings() settings {
	dsn := n.dsn.Clone()
	dsn.Addr = n.rows.addr()
	s := n.paces.settings()
	maps.Copy(s, settings{
		"http.addr": "127.0.0.1:0", "node.id": n.id, "database.driver": "mysql", "database.dsn": dsn.FormatDSN(), "redis.addr": n.cache.addr(), "redis.prefix": n.prefix,
		"database.max_open_conns": "10", // MariaDB has 300 for all the cases that run beside each other
		"log.format":              "json",
		"cluster.poll_interval":   "1s", "socket.events_per_second": "100",
	})
	if n.base != "" {
		s["http.addr"] = hostOf(n.base)
	}
	maps.Copy(s, n.more)
	return s
}

// run starts the program and does not wait until it serves.
func (n *node) run(more settings) *servertest.Process {
	n.t.Helper()
	s := n.settings()
	maps.Copy(s, more)
	p, err := servertest.Start(servertest.Run{Path: program, Dir: n.t.TempDir(), Env: servertest.Env(s), Log: &n.log})
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// start starts the node and waits until it serves.
func (n *node) start() {
	n.t.Helper()
	n.process = n.run(nil)
	base, err := n.process.Open(openTimeout)
	if err != nil {
		n.t.Fatalf("node %s: %v\n%s", n.id, err, lastLines(n.log.String(), 40))
	}
	if n.base == "" { // later it is the same, and others read it
		n.base = base
	}
	n.answers.Store(true)
}

// kill is kill -9.
func (n *node) kill() {
	n.answers.Store(false)
	n.process.Kill()
}

// stop is a planned stop, and must end with exit code 0 within a bound that says "hung" and nothing else.
func (n *node) stop() time.Duration {
	n.t.Helper()
	n.answers.Store(false)
	begin := time.Now()
	if err := n.process.Stop(60 * time.Second); err != nil {
		n.t.Fatalf("node %s: %v\n%s", n.id, err, lastLines(n.log.String(), 40))
	}
	return time.Since(begin)
}

// freeze stops the process in the middle of whatever it does (SIGSTOP); thaw lets it go on.
func (n *node) freeze() {
	n.answers.Store(false)
	n.signal(syscall.SIGSTOP)
}

func (n *node) thaw() {
	n.signal(syscall.SIGCONT)
	n.answers.Store(true)
}

func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.process.Signal(s); err != nil {
		n.t.Fatalf("send %v to node %s: %v", s, n.id, err)
	}
}

// bury ends the process if it runs, frozen or not.
func (n *node) bury() {
	if n.process != nil {
		n.answers.Store(false)
		n.process.Kill()
	}
	if n.t.Failed() {
		n.t.Logf("the log of node %s ends:\n%s", n.id, lastLines(n.log.String(), 25))
	}
}

// epoch returns that of the node's row, and its state.
func (n *node) epoch() (epoch int64, state string) {
	n.t.Helper()
	if err := n.pool.QueryRowContext(n.ctx, "SELECT epoch, state FROM nodes WHERE id = ?", n.id).Scan(&epoch, &state); err != nil {
		n.t.Fatalf("read the row of node %s: %v", n.id, err)
	}
	return epoch, state
}

// metric returns the value of a metric without labels.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	v, err := n.reads(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

// reads is metric for any goroutine.
func (n *node) reads(metric string) (float64, error) {
	a, err := servertest.Call(n.ctx, "GET", n.base+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	v, ok := servertest.Metric(string(a.Body), metric)
	if !ok {
		return 0, fmt.Errorf("there is no metric %s", metric)
	}
	return v, nil
}

// status returns that of a GET, 0 when nobody answers.
func (n *node) status(path string) int {
	a, err := servertest.Call(n.ctx, "GET", n.base+path, nil)
	if err != nil {
		return 0
	}
	return a.Status
}

// hostOf returns host:port of an address.
func hostOf(base string) string { return strings.TrimPrefix(base, "http://") }

// lastLines returns the last lines of a text.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
