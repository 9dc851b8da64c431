package chaos_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/crew"
	"rollcall/internal/servertest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// settings are keys of the configuration.
type settings = map[string]string

// paces are the times of a node: those that the product has by default, and a few times shorter in the short form, where a
// grace must still be longer than the pause that a stock client makes before it comes back (up to 1.5 s).
type paces struct {
	heartbeat, nodeTimeout, grace, debounce, pingInterval, pingTimeout, drain time.Duration
}

func usualPaces() paces {
	if storetest.Proving() {
		return paces{3 * time.Second, 10 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second}
	}
	return paces{500 * time.Millisecond, 3 * time.Second, 3 * time.Second, 2 * time.Second, 10 * time.Second, 10 * time.Second, time.Second}
}

func (p paces) settings() settings {
	return settings{
		"presence.node_heartbeat": p.heartbeat.String(), "presence.node_timeout": p.nodeTimeout.String(), "presence.grace": p.grace.String(), "presence.debounce": p.debounce.String(),
		"socket.ping_interval": p.pingInterval.String(), "socket.ping_timeout": p.pingTimeout.String(), "shutdown.drain": p.drain.String(),
	}
}

// town is everything that a case happens to: nodes on one database and one Redis, each over links of its own, and the people who
// come to them. It ends with its test, and then looks whether what must always hold does.
type town struct {
	*trial
	paces  paces
	dsn    *mysql.Config // how nodes log in to the database, beside all links: nobody else is that user, so that their connections can be told from others
	pool   *sql.DB       // on it, as an administrator has it
	prefix string        // in Redis
	more   settings
	nodes  []*node
	next   atomic.Int64 // whose turn it is when somebody comes

	people people
	hands  crew.Crew // goroutines of people and watches
	ctx    context.Context
}

// found makes a town of n nodes that have started. change, which may be nil, alters its paces and returns further settings.
func found(c *trial, n int, change func(*paces) settings) *town {
	c.t.Helper()
	town := &town{trial: c, paces: usualPaces(), prefix: storetest.Prefix(c.t)}
	if change != nil {
		town.more = change(&town.paces)
	}
	database := storetest.DSN(c.t, store.MySQL)
	town.pool = opens(c.t, "mysql", database.DSN)
	town.dsn = storetest.Guest(c.t, database, "chaos")
	town.mayWrite("GRANT READ_ONLY ADMIN ON *.* TO ")
	ctx, cancel := context.WithCancel(context.Background())
	town.ctx = ctx
	for i := range n {
		town.nodes = append(town.nodes, newNode(town, fmt.Sprintf("n%d", i+1)))
	}
	c.t.Cleanup(func() {
		cancel()
		town.people.scatter()
		town.hands.Close()
		for _, n := range town.nodes {
			n.bury()
		}
	})
	c.t.Cleanup(func() {
		if !c.t.Failed() {
			town.looksRight()
		}
	})
	for _, n := range town.nodes { // the first one migrates, the others find it done
		n.start()
	}
	return town
}

// opens returns a handle on a database that ends with t.
func opens(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// mayWrite alters whether the nodes may write to a server that is read-only: they may until obeysReadOnly, because that is the same
// server for all cases.
func (town *town) mayWrite(order string) {
	town.t.Helper()
	storetest.Accounts(town.t, town.pool, order+"'"+town.dsn.User+"'@'%'")
}

// obeysReadOnly has the nodes heed SET GLOBAL read_only from now on.
func (town *town) obeysReadOnly() {
	town.t.Helper()
	town.mayWrite("REVOKE READ_ONLY ADMIN ON *.* FROM ")
	town.orders("KILL USER '" + town.dsn.User + "'@'%'")
}

// orders runs statements of the administrator.
func (town *town) orders(statements ...string) {
	town.t.Helper()
	for _, s := range statements {
		if _, err := town.pool.Exec(s); err != nil {
			town.t.Fatalf("%s: %v", s, err)
		}
	}
}

// beside lets the case run beside others in the short form, where figures are not about time.
func beside(t *testing.T) {
	if !storetest.Proving() {
		t.Parallel()
	}
}

// idles lets a case that mostly waits, and whose figures are not about time, run beside others like it in the long form too.
func idles(t *testing.T) { t.Parallel() }

// addresses returns those of all nodes, beginning with the one whose turn it is: what a balancer with as many tries does.
func (town *town) addresses() []string {
	first := int(town.next.Add(1))
	var list []string
	for i := range town.nodes {
		list = append(list, town.nodes[(first+i)%len(town.nodes)].base)
	}
	return list
}

// preferring are the addresses of the nodes that answer, a given one first: what a balancer with a health check does.
func (town *town) preferring(n *node) func() []string {
	return func() []string {
		var list []string
		for _, other := range town.living() {
			if other == n {
				list = append([]string{n.base}, list...)
			} else {
				list = append(list, other.base)
			}
		}
		return list
	}
}

// living returns the nodes that run and are not stopped.
func (town *town) living() []*node {
	var list []*node
	for _, n := range town.nodes {
		if n.answers.Load() {
			list = append(list, n)
		}
	}
	return list
}

// count returns the only number that a query gives.
func (town *town) count(query string, args ...any) int {
	town.t.Helper()
	var n int
	if err := town.pool.QueryRowContext(town.ctx, query, args...).Scan(&n); err != nil {
		town.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// column returns the only column of a query.
func (town *town) column(query string, args ...any) []string {
	town.t.Helper()
	rows, err := town.pool.QueryContext(town.ctx, query, args...)
	if err != nil {
		town.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			town.t.Fatalf("%s: %v", query, err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		town.t.Fatalf("%s: %v", query, err)
	}
	return list
}

// sent counts the announcements (online_notice, offline_notice) about users that went out, by the log.
func (town *town) sent(event string, users []string) int {
	town.t.Helper()
	if len(users) == 0 {
		return 0
	}
	args := []any{event}
	for _, u := range users {
		args = append(args, u)
	}
	return town.count("SELECT COUNT(*) FROM notices WHERE event = ? AND state IN ('sent','summarised') AND sender_id IN (?"+strings.Repeat(",?", len(users)-1)+")", args...)
}

// callTimeout bounds a call to REST: a node that is stopped takes connections and never answers.
const callTimeout = 5 * time.Second

// get reads from REST of a node.
func (n *node) get(ctx context.Context, path string, out any) error {
	return n.call(ctx, "GET", path, nil, out)
}

// call sends a request to REST of a node; an answer other than a good one is an error.
func (n *node) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := servertest.Call(ctx, method, n.base+path, body)
	if err != nil {
		return err
	}
	if a.Status >= 300 {
		return fmt.Errorf("%s %s was answered %d %.300s", method, path, a.Status, a.Body)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("%s %s was answered %.300s: %w", method, path, a.Body, err)
	}
	return nil
}

// pause is a part of what happens in a case, such as "Redis is away for 30 s"; it is never a way to wait for something.
func (town *town) pause(d time.Duration) {
	town.t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-town.t.Context().Done():
	}
}

// eventually waits until cond holds and returns how long that took; after most it fails the test.
func (town *town) eventually(most time.Duration, what string, cond func() bool) time.Duration {
	town.t.Helper()
	begin := time.Now()
	storetest.EventuallyWithin(town.t, most, cond, what)
	return time.Since(begin)
}
