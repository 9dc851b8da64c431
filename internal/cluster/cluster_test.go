package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"gorm.io/gorm"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// node is a cluster that notes what it gets.
type node struct {
	*cluster.Cluster
	mu    sync.Mutex // guards heard
	heard []string
	stop  func()
}

// Emit implements cluster.Hall.
func (n *node) EmitAll(events []hall.Event) {
	for _, e := range events {
		n.Emit(e.To, e.Name, e.Args...)
	}
}

func (n *node) Emit(to hall.Audience, event string, args ...json.RawMessage) []hall.Socket {
	n.note(fmt.Sprint("emit ", to.Users, " ", event, " ", string(slices.Concat(args...))))
	return nil
}

// End implements cluster.Hall.
func (n *node) End(to hall.Audience, reason string) int {
	n.note(fmt.Sprint("end ", to.Users, " ", reason))
	return 0
}

func (n *node) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, what)
}

func (n *node) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heard)
}

// start runs a node until it is stopped. Without Redis it looks for letters by itself.
func start(t *testing.T, db *store.DB, change func(*cluster.Config)) *node {
	t.Helper()
	n := &node{}
	c := cluster.Config{
		DB: db, Node: "n1", Hall: n, PollInterval: 20 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		Receive: func(kind string, body json.RawMessage) error { n.note(kind + " " + string(body)); return nil },
		Changed: func(id string, content bool) { n.note(fmt.Sprint("changed ", id, " ", content)) },
		Missed:  func() { n.note("missed") },
	}
	change(&c)
	n.Cluster = cluster.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.Run(ctx) }()
	n.stop = func() { cancel(); <-done }
	t.Cleanup(n.stop)
	<-n.Ready()
	return n
}

func named(id string) func(*cluster.Config) { return func(c *cluster.Config) { c.Node = id } }

// hears waits until exactly these things were heard.
func (n *node) hears(t *testing.T, want ...string) {
	t.Helper()
	storetest.Eventually(t, func() bool { return len(n.all()) >= len(want) }, fmt.Sprintf("did not hear %v", want))
	if got := n.all(); !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// A letter reaches every other node once its transaction is committed, and none if it is not; one that is also the poster's reaches
// that too; one that is addressed reaches that node alone. Text arrives byte by byte.
func TestLetters(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	a, b, c := start(t, db, named("a")), start(t, db, named("b")), start(t, db, named("c"))
	say := func(result error) error {
		return db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := a.Cluster.Emit(ctx, hall.Audience{Users: []string{"anna"}}, "hello", json.RawMessage(`{"x" : "<&>\u0041"}`)); err != nil {
				return err
			}
			return result
		})
	}
	if err := say(errors.New("no")); err == nil {
		t.Fatal("the error of a transaction is lost")
	}
	if err := say(nil); err != nil {
		t.Fatal(err)
	}
	emitted := `emit [anna] hello {"x" : "<&>\u0041"}`
	for _, n := range []*node{a, b, c} {
		n.hears(t, emitted)
	}
	if err := a.Cluster.End(t.Context(), hall.Audience{Users: []string{"ben"}}, "bye"); err != nil {
		t.Fatal(err)
	}
	if err := a.EndElsewhere(t.Context(), "c", hall.Audience{Users: []string{"carl"}}, "bye"); err != nil {
		t.Fatal(err)
	}
	if err := a.Post(t.Context(), hall.Letter{Kind: "other", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	a.hears(t, emitted, "end [ben] bye")
	b.hears(t, emitted, "end [ben] bye", "other {}")
	c.hears(t, emitted, "end [ben] bye", "end [carl] bye", "other {}")
}

// Whoever is alone writes nothing. Should another node have come by the time of the commit, it is told behind it.
func TestAlone(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	var alone atomic.Bool
	alone.Store(true)
	a := start(t, db, func(c *cluster.Config) { c.Node, c.Alone = "a", alone.Load })
	b := start(t, db, named("b"))
	to := hall.Audience{Users: []string{"anna"}}
	if err := a.Cluster.Emit(t.Context(), to, "one"); err != nil {
		t.Fatal(err)
	}
	a.hears(t, "emit [anna] one ") // at once
	err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
		defer alone.Store(false)
		return a.Cluster.Emit(ctx, to, "two")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Cluster.Emit(t.Context(), to, "three"); err != nil {
		t.Fatal(err)
	}
	a.hears(t, "emit [anna] one ", "emit [anna] two ", "emit [anna] three ")
	b.hears(t, "emit [anna] two ", "emit [anna] three ")
	var rows int
	if err := db.SQL().QueryRow("SELECT COUNT(*) FROM mailbox").Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d letters, %v", rows, err)
	}
}

// The database numbers letters when they are written and shows them when they are committed. One that was committed behind
// another with a higher number used to be what a reader that only remembers the highest never reads. Nor does a node that
// has just begun miss one that was being written when it did.
func TestLateCommit(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	a, b := start(t, db, named("a")), start(t, db, named("b"))
	written, commit := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(commit) })
	t.Cleanup(release) // or the database could not be dropped
	done := make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), func(ctx context.Context, _ *gorm.DB) error {
			err := a.Cluster.Emit(ctx, hall.Audience{}, "first")
			close(written)
			<-commit
			return err
		})
	}()
	<-written
	if err := a.Cluster.Emit(t.Context(), hall.Audience{}, "second"); err != nil {
		t.Fatal(err)
	}
	b.hears(t, "emit [] second ")
	c := start(t, db, named("c"))
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.hears(t, "emit [] second ", "emit [] first ")
	c.hears(t, "emit [] first ")
}

// Many write at the same time on several nodes: everybody gets everything once, and what one writer posts one after the other in
// that order.
func TestManyWriters(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	nodes := []*node{start(t, db, named("a")), start(t, db, named("b")), start(t, db, named("c"))}
	const writers, each = 6, 50
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range each {
				if err := nodes[w%3].Cluster.Emit(t.Context(), hall.Audience{}, fmt.Sprintf("%d-%02d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for _, n := range nodes {
		storetest.Eventually(t, func() bool { return len(n.all()) >= writers*each }, "not everything came")
		got := n.all()
		for w := range writers {
			var own []string
			for _, s := range got {
				if s[len("emit [] ")] == byte('0'+w) {
					own = append(own, s)
				}
			}
			if len(own) != each || !slices.IsSorted(own) {
				t.Errorf("of writer %d came %d, in order %v", w, len(own), slices.IsSorted(own))
			}
		}
	}
}

// By Redis nodes hear at once that there are letters and which conferences have changed, and after a break of the line they are told
// that they may have missed something.
func TestWakes(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	line := storetest.NewLine(t, storetest.RedisAddr(t))
	direct := storetest.Redis(t)
	prefix := storetest.Prefix(t)
	by := func(id string, r redis.UniversalClient) func(*cluster.Config) {
		return func(c *cluster.Config) { c.Node, c.Redis, c.Prefix, c.PollInterval = id, r, prefix, time.Hour }
	}
	behind := redis.NewClient(&redis.Options{Addr: line.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = behind.Close() })
	a, b := start(t, db, by("a", direct)), start(t, db, by("b", behind))
	b.hears(t, "missed") // it has subscribed
	a.Wake("42", true)
	b.hears(t, "missed", "changed 42 true")
	if err := a.Post(t.Context(), hall.Letter{Kind: "k", Body: []byte("1")}, hall.Letter{Kind: "k", To: "b", Body: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	b.hears(t, "missed", "changed 42 true", "k 1", "k 2")
	line.Cut()
	if err := a.Post(t.Context(), hall.Letter{Kind: "k", Body: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	line.Mend()
	storetest.Eventually(t, func() bool { return slices.Contains(b.all(), "k 3") && len(b.all()) == 6 }, "what was posted while the line was cut did not come")
	if got := slices.Sorted(slices.Values(b.all()[4:])); !slices.Equal(got, []string{"k 3", "missed"}) {
		t.Errorf("after the line was cut came %v", got)
	}
	a.Wake("43", false)
	storetest.Eventually(t, func() bool { return slices.Contains(b.all(), "changed 43 false") }, "a wake-up behind the break was not heard")
}

// A database that is away delays letters and loses none, whichever node it is away from.
func TestDatabaseAway(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	c.Timeout = time.Second
	direct := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), direct.SQL(), store.MySQL); err != nil {
		t.Fatal(err)
	}
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.NewLine(t, dsn.Addr)
	dsn.Addr = line.Addr()
	c.DSN = dsn.FormatDSN()
	a, b := start(t, direct, named("a")), start(t, storetest.OpenConfig(t, c), named("b"))
	line.Cut()
	if err := b.Post(t.Context(), hall.Letter{Kind: "lost"}); err == nil {
		t.Error("posted while the database is away")
	}
	if err := a.Post(t.Context(), hall.Letter{Kind: "k", Body: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	line.Mend()
	b.hears(t, "k 1")
}
