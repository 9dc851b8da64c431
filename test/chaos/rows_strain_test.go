package chaos_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/storetest"
)

// strain is a database that answers, and says no.
type strain struct {
	fault
	lasts time.Duration
	nodes int
	bites func(before, after map[string]int) int // what of it was felt; nil: calls that had to be repeated
	mild  bool                                   // it leaves the machine idle enough for another one like it
}

// strains in which everything is to be retried within bounds.
func strains() []strain {
	usual := time.Duration(storetest.Size(30, 5)) * time.Second
	lost := func(town *town) func() {
		for _, n := range town.nodes {
			n.rows.poison(lostCommitName, "upstream", "{}")
		}
		return func() {
			for _, n := range town.nodes {
				n.rows.mend()
			}
		}
	}
	return []strain{
		{fault{"deadlocks", deadlocks}, usual, 2, func(before, after map[string]int) int { return after["deadlocks"] - before["deadlocks"] }, false},
		{fault{"rows locked by somebody else (FOR UPDATE)", lockedRows}, usual, 2, func(before, after map[string]int) int { return after["waits"] - before["waits"] }, false},
		{fault{"read-only server", readOnly}, 2 * usual, 2, nil, false},
		{fault{"connections killed in the middle of transactions", killed}, usual, 2, func(before, after map[string]int) int { return after["aborted"] - before["aborted"] }, false},
		{fault{"the answer to COMMIT is lost", lost}, usual, 2, func(before, after map[string]int) int { return after["lost"] - before["lost"] }, true},
		{fault{"the answer to COMMIT is lost, one node", lost}, usual, 1, func(before, after map[string]int) int { return after["lost"] - before["lost"] }, true},
	}
}

// tallies are what was counted up to now: by the lines of this town, and by the server for everybody, which is enough to see that
// something happened.
func (town *town) tallies() map[string]int {
	status := func(name string) int {
		return town.count("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = ?", name)
	}
	lost := 0
	for _, n := range town.nodes {
		lost += n.rows.lost
	}
	return map[string]int{"lost": lost, "deadlocks": status("Innodb_deadlocks"), "waits": status("Innodb_row_lock_waits"), "aborted": status("Aborted_clients")}
}

// deadlocks lets somebody meet the service's transactions all the time.
func deadlocks(town *town) func() {
	town.orders("CREATE TABLE chaos_weight (n INT)")
	return again(20*time.Millisecond, func(ctx context.Context) { locksBackwards(ctx, town) })(town)
}

// locksBackwards takes the locks of a notice in the order in which the service does not, from a transaction that has written so much
// that the database rather ends the other one.
func locksBackwards(ctx context.Context, town *town) {
	tx, err := town.pool.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()
	for _, s := range []string{
		"INSERT INTO chaos_weight SELECT seq FROM seq_1_to_2000",
		"SELECT COUNT(*) FROM (SELECT notice_id FROM notice_deliveries WHERE user_id LIKE 'reader-%' FOR UPDATE) x",
		"SELECT SLEEP(0.05)",
		"SELECT COUNT(*) FROM (SELECT id FROM notices ORDER BY id DESC LIMIT 20 FOR UPDATE) x",
	} {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return
		}
	}
}

func lockedRows(town *town) func() {
	return again(500*time.Millisecond, func(ctx context.Context) { holdsLocks(ctx, town) })(town)
}

// holdsLocks holds what a notice needs for longer than a statement waits.
func holdsLocks(ctx context.Context, town *town) {
	tx, err := town.pool.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "SELECT COUNT(*) FROM (SELECT notice_id FROM notice_deliveries WHERE user_id LIKE 'reader-%' FOR UPDATE) x"); err == nil {
		town.waits(2500 * time.Millisecond)
	}
}

// readOnly lets the server be read-only for longer than a node timeout, then writable for a moment, again and again: what a node
// has waited for all the time it does at the moment of the return.
func readOnly(town *town) func() {
	town.obeysReadOnly()
	return again(time.Second, func(context.Context) {
		defer town.pool.Exec("SET GLOBAL read_only = 0") // if it failed, the case would not end
		if _, err := town.pool.Exec("SET GLOBAL read_only = 1"); err == nil {
			town.waits(town.paces.nodeTimeout + 1500*time.Millisecond)
		}
	})(town)
}

func killed(town *town) func() {
	return again(20*time.Millisecond, func(ctx context.Context) { killsOne(ctx, town) })(town)
}

// killsOne ends a connection of the nodes, one that is in a transaction if there is any.
func killsOne(ctx context.Context, town *town) {
	var connection int64
	err := town.pool.QueryRowContext(ctx, "SELECT p.id FROM information_schema.PROCESSLIST p LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.id WHERE p.user = ? ORDER BY t.trx_id IS NULL, RAND() LIMIT 1", town.dsn.User).Scan(&connection)
	if err == nil {
		_, _ = town.pool.ExecContext(ctx, "KILL ?", connection) // it may have ended by itself
	}
}

// Whoever repeats a notice until it is taken has posted it once, whatever the database said meanwhile, and who is connected
// has got it.
func TestDatabaseStrained(t *testing.T) {
	for _, s := range strains() {
		t.Run(s.name, func(t *testing.T) {
			if s.mild {
				idles(t)
			} else {
				beside(t)
			}
			strained(t, s)
		})
	}
}

func strained(t *testing.T, s strain) {
	c := begin(t, storesSection, s.name)
	town := found(c, s.nodes, nil)
	var readers []*reader
	var users []string
	for i := range 4 {
		r := town.reads(visit{user: fmt.Sprintf("reader-%d", i), conference: "42", to: at(town.nodes[i%s.nodes])})
		readers, users = append(readers, r), append(users, r.user)
	}
	callers := town.callersFor(users, false)
	town.eventually(10*time.Second, "notices are posted", func() bool { return callers.count() >= callersAtOnce })
	before, repeated := town.tallies(), callers.repeated()
	undo := s.does(town)
	town.pause(s.lasts)
	felt := callers.repeated() - repeated
	undo()
	if s.bites != nil {
		felt = s.bites(before, town.tallies())
	}
	callers.end()
	n, begun := callers.count(), time.Now()
	missed, evidence := 0, ""
	town.waitsFor(20*time.Second, func() bool {
		missed, evidence = 0, ""
		for _, r := range readers {
			m, e := callers.misses(r)
			missed, evidence = missed+m, evidence+e
		}
		return missed == 0
	})
	took := time.Since(begun)
	c.says(felt, "it was felt", fmt.Sprintf("%d times, %d calls were repeated", felt, callers.repeated()), felt > 0)
	lost, doubled := callers.stored()
	c.none(n, lost, "notices lost:")
	c.none(n, doubled, "doubled ids:")
	c.says(n*len(readers), "connected clients who missed one 0", fmt.Sprintf("%d%s", missed, evidence), missed == 0)
	c.within(n*len(readers), "the last client had all", took, 5*time.Second)
	odd, what := callers.strange()
	c.says(n, "answers beside 202, 409 and 503 with Retry-After 0", fmt.Sprintf("%d%s", odd, what), odd == 0)
	c.within(n+callers.repeated(), "the slowest answer", callers.slowest, 6*time.Second)
	var people crowd
	for _, r := range readers {
		people = append(people, r.person)
	}
	c.stayed(people)
	c.none(len(town.nodes), town.deaths(), "nodes called dead:")
}

// deaths counts how often nodes called each other dead.
func (town *town) deaths() (n int) {
	for _, node := range town.living() {
		n += int(node.metric("rollcall_presence_nodes_claimed_total")) + int(node.metric("rollcall_presence_expelled_total"))
	}
	return n
}

// A COMMIT whose answer is lost has been done, and whoever waited for it is told that nobody knows.
func TestLostCommit(t *testing.T) {
	dsn, err := mysql.ParseDSN(storetest.DSN(t, "mysql").DSN)
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(t, "database", dsn.Addr)
	beyond := dsn.Clone()
	beyond.Addr = l.addr()
	beyond.Logger = &mysql.NopLogger{} // it would say each time what is asked for here
	connector, err := mysql.NewConnector(beyond)
	if err != nil {
		t.Fatal(err)
	}
	near, far := opens(t, "mysql", dsn.FormatDSN()), sql.OpenDB(connector)
	defer far.Close()
	if _, err := near.Exec("CREATE TABLE t (n INT)"); err != nil {
		t.Fatal(err)
	}
	l.poison(lostCommitName, "upstream", "{}")
	failed := 0
	const n = 30
	for range n {
		tx, err := far.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		if tx.Commit() != nil {
			failed++
		}
	}
	var rows int
	if err := near.QueryRow("SELECT COUNT(*) FROM t").Scan(&rows); err != nil || rows != n || failed != n/3 {
		t.Errorf("%d of %d are there, %d were told that they are not, %v", rows, n, failed, err)
	}
}
