package store_test

import (
	"context"
	"strings"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// guest is a handle on a database as somebody who has no rights but there, and may be turned away.
type guest struct {
	*store.DB
	t     *testing.T
	admin *store.DB
	name  string
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	c := storetest.DSN(t, store.MySQL)
	dsn := storetest.Guest(t, c, "one")
	g := &guest{t: t, admin: storetest.OpenConfig(t, c), name: dsn.User}
	c.DSN = dsn.FormatDSN()
	g.DB = storetest.OpenConfig(t, c)
	g.order("CREATE TABLE t (n INTEGER)")
	return g
}

// order runs a statement of the administrator.
func (g *guest) order(statement string) {
	g.t.Helper()
	storetest.Accounts(g.t, g.admin.SQL(), statement)
}

// add writes a row and returns the number of the connection that it went by.
func (g *guest) add() (connection int64, err error) {
	err = g.Write(g.t.Context(), func(_ context.Context, tx *gorm.DB) error {
		if err := tx.Raw("SELECT CONNECTION_ID()").Scan(&connection).Error; err != nil {
			return err
		}
		return tx.Exec("INSERT INTO t VALUES (1)").Error
	})
	return connection, err
}

// A password that was changed was taken for an error of whatever was written just then: presence gave up the sessions of the
// batch, and a node that had to register anew ended. But who is not let in has asked nothing.
func TestNotLetInIsAway(t *testing.T) {
	g := newGuest(t)
	if _, err := g.add(); err != nil {
		t.Fatal(err)
	}
	g.order("ALTER USER '" + g.name + "'@'%' IDENTIFIED BY 'two'")
	g.order("KILL USER '" + g.name + "'@'%'")
	for name, call := range map[string]func() error{
		"Ping":  func() error { return g.Ping(t.Context()) },
		"Write": func() error { _, err := g.add(); return err },
		"Now":   func() error { _, err := g.Now(t.Context()); return err },
	} {
		if err := call(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "1045") {
			t.Errorf("%s: %v, want Unavailable and why", name, err)
		}
	}
	g.order("ALTER USER '" + g.name + "'@'%' IDENTIFIED BY 'one'")
	if _, err := g.add(); err != nil {
		t.Errorf("once the password is right: %v", err)
	}
}

// A server that became read-only, because another one is the primary by now, went on serving from the connections of the pool:
// the name that leads to the new one was not looked up again for as long as a connection lives.
func TestReadOnlyServerIsLeft(t *testing.T) {
	g := newGuest(t)
	before, err := g.add()
	if err != nil {
		t.Fatal(err)
	}
	g.order("SET GLOBAL read_only = 1") // of the tests' users only this one heeds it
	t.Cleanup(func() { g.order("SET GLOBAL read_only = 0") })
	if _, err := g.add(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while it is read-only: %v, want Unavailable", err)
	}
	g.order("SET GLOBAL read_only = 0")
	if after, err := g.add(); err != nil || after == before {
		t.Errorf("afterwards by connection %d as before by %d, %v", after, before, err)
	}
}

// A connection that ended within a transaction failed it, although nothing of it was kept and another connection would have
// done. When it ends at the commit nobody knows whether that was heard, so it is not tried again.
func TestWriteRunsAgainOnAnotherConnection(t *testing.T) {
	g := newGuest(t)
	told := 0
	kill := func(tx *gorm.DB) error {
		var me int64
		if err := tx.Raw("SELECT CONNECTION_ID()").Scan(&me).Error; err != nil {
			return err
		}
		_, err := g.admin.SQL().ExecContext(t.Context(), "KILL ?", me)
		return err
	}
	insert := func(tx *gorm.DB) error { return tx.Exec("INSERT INTO t VALUES (1)").Error }
	for _, c := range []struct {
		name        string
		tries, told int
		fn          func(try int, tx *gorm.DB) error
	}{
		{"before the commit", 2, 1, func(try int, tx *gorm.DB) error {
			if err := insert(tx); err != nil || try > 1 {
				return err
			}
			if err := kill(tx); err != nil {
				return err
			}
			return insert(tx)
		}},
		{"at the commit", 1, 0, func(_ int, tx *gorm.DB) error {
			if err := insert(tx); err != nil {
				return err
			}
			return kill(tx)
		}},
		{"every time", 5, 0, func(_ int, tx *gorm.DB) error {
			if err := kill(tx); err != nil {
				return err
			}
			return insert(tx)
		}},
	} {
		g.order("DELETE FROM t")
		tries := 0
		told = 0
		err := g.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
			tries++
			store.AfterCommit(ctx, func() { told++ })
			return c.fn(tries, tx)
		})
		var rows int
		if e := g.admin.SQL().QueryRow("SELECT COUNT(*) FROM t").Scan(&rows); e != nil {
			t.Fatal(e)
		}
		if (err == nil) != (c.told == 1) || err != nil && !fault.Is(err, fault.Unavailable) || tries != c.tries || told != c.told || rows != c.told {
			t.Errorf("%s: %v after %d tries, told %d times of %d rows", c.name, err, tries, told, rows)
		}
	}
}
