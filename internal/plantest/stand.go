// Package plantest hears what the service says to MariaDB and asks it how it would find the rows, in a database that is full.
package plantest

import (
	"database/sql"
	"testing"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

// Stand is a database with much in it.
type Stand struct {
	*Tap
	Config store.Config // leads through the tap
	Beside *sql.DB      // does not
}

// New makes a database and fills tables of it, or all without a name, which takes seconds. It is dropped when t ends.
func New(t testing.TB, tables ...string) *Stand {
	t.Helper()
	c := storetest.DSN(t, store.MySQL)
	db := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), db.SQL(), db.Dialect()); err != nil {
		t.Fatalf("migrate test database: %v", err)
	}
	beside, err := sql.Open("mysql", c.DSN) // which waits for as long as it takes
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(func() { _ = beside.Close() })
	s := &Stand{Config: c, Beside: beside}
	fill(t, s.Beside, tables)
	s.Tap, s.Config.DSN = NewTap(t, c.DSN)
	return s
}

// Open opens the database through the tap.
func (s *Stand) Open(t testing.TB) *store.DB {
	t.Helper()
	return storetest.OpenConfig(t, s.Config)
}
