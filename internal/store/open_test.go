package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// While the database is away every call says "not for now", soon, and when it is back the same handle works.
func TestDatabaseAwayAndBack(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.NewLine(t, dsn.Addr)
	dsn.Addr = line.Addr()
	c.DSN, c.Timeout = dsn.FormatDSN(), 2*time.Second
	db := storetest.OpenConfig(t, c)
	read := func(_ context.Context, tx *gorm.DB) error { return tx.Exec("SELECT 1").Error }

	line.Cut()
	for name, call := range map[string]func() error{
		"Ping":  func() error { return db.Ping(t.Context()) },
		"Read":  func() error { return db.Read(t.Context(), read) },
		"Write": func() error { return db.Write(t.Context(), read) },
		"Now":   func() error { _, err := db.Now(t.Context()); return err },
		"Open":  func() error { _, err := store.Open(t.Context(), c); return err },
	} {
		if err := call(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s while the database is away: %v, want Unavailable", name, err)
		}
	}
	line.Mend()
	storetest.Eventually(t, func() bool { return db.Write(t.Context(), read) == nil }, "the database answers again")
}

// A connection that dies in the middle of a transaction is no success, and nothing is half written.
func TestDatabaseGoneInTheMiddle(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
		if err := add(ctx, db, "1"); err != nil {
			return err
		}
		var me int64
		if err := tx.Raw("SELECT CONNECTION_ID()").Scan(&me).Error; err != nil {
			return err
		}
		if _, err := db.SQL().ExecContext(t.Context(), "KILL ?", me); err != nil {
			t.Errorf("kill: %v", err)
		}
		return add(ctx, db, "2")
	})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("error is %v, want Unavailable", err)
	}
	wantIDs(t, db)
}

// Two processes on one SQLite file would each call the other's users gone: the second one is told what to do.
func TestSQLiteFileHasOneOwner(t *testing.T) {
	c := storetest.DSN(t, store.SQLite)
	first := storetest.OpenConfig(t, c)
	if _, err := store.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "another rollcall uses "+c.DSN) {
		t.Fatalf("second owner: %v", err)
	}
	if err := first.Ping(t.Context()); err != nil {
		t.Errorf("the first owner was disturbed: %v", err)
	}
}

// Whoever only looks at a file may do so beside its owner, sees what is committed, and writes nothing, not even a file.
func TestSQLiteFileIsLookedAt(t *testing.T) {
	c := storetest.DSN(t, store.SQLite)
	look := c
	look.ReadOnly = true
	if db, err := store.Open(t.Context(), look); err == nil {
		t.Error("a file that is not there was opened")
		_ = db.Close()
	}
	owner := storetest.OpenConfig(t, c)
	if _, err := owner.SQL().ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	see := func(want int64) {
		t.Helper()
		guest, err := store.Open(t.Context(), look)
		if err != nil {
			t.Fatal(err)
		}
		defer guest.Close()
		var n int64
		err = guest.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Raw("SELECT COUNT(*) FROM t").Scan(&n).Error })
		if err != nil || n != want {
			t.Errorf("sees %d, want %d, %v", n, want, err)
		}
		if err := guest.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Exec("INSERT INTO t VALUES (1)").Error }); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a guest has written, or is told that it is his fault: %v", err)
		}
	}
	see(0)
	if _, err := owner.SQL().ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	see(1)
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	see(1) // the server is down: all the more reason to look
}

// Closing gives the file back: a restart on the same file works, and finds what was written.
func TestSQLiteFileIsGivenBack(t *testing.T) {
	c := storetest.DSN(t, store.SQLite)
	for i := range 2 {
		db, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		if _, err := db.SQL().ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (n INTEGER)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}

// A file name is a file name: "#" and "?" once cut it short, so that two databases were one.
func TestSQLitePathWithSpecialCharacters(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a#1.db", "a?b=c.db", "50%.db", "with space/new folder/a.db"} {
		path := filepath.Join(dir, name)
		db := storetest.OpenConfig(t, store.Config{Driver: store.SQLite, DSN: path, Timeout: time.Second})
		if _, err := db.SQL().ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if found, err := filepath.Glob(strings.ReplaceAll(path, "?", `\?`)); err != nil || len(found) != 1 {
			t.Errorf("no file called %s", name)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]store.Config{
		"unknown driver": {Driver: "oracle", Timeout: time.Second},
		"bad DSN":        {Driver: store.MySQL, DSN: "no slash", Timeout: time.Second},
		"no such folder": {Driver: store.SQLite, DSN: "/dev/null/x/rollcall.db", Timeout: time.Second},
	} {
		if db, err := store.Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
			_ = db.Close()
		}
	}
}

// The clock of the database serves all nodes; here it is the same machine's, so it is also ours.
func TestNow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		before := time.Now().UnixMilli()
		now, err := db.Now(t.Context())
		if after := time.Now().UnixMilli(); err != nil || now < before-1 || now > after+1 {
			t.Errorf("Now is %d, %v, want within %d and %d", now, err, before, after)
		}
	})
}

// The errors that callers act upon are told apart on both dialects.
func TestErrorsAreRecognised(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if err := add(t.Context(), db, "1"); err != nil {
			t.Fatal(err)
		}
		if err := add(t.Context(), db, "1"); !store.Duplicate(err) || fault.Is(err, fault.Unavailable) {
			t.Errorf("second insert: %v, want Duplicate", err)
		}
		err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			return tx.Table("users").Where("id = ?", "2").Take(&map[string]any{}).Error
		})
		if !store.NotFound(err) || store.Duplicate(err) {
			t.Errorf("missing row: %v, want NotFound", err)
		}
	})
}

// A client that stops in the middle of a transaction, or whose line goes dead, does not hold its locks for the eight hours that
// servers have by default, and a statement that nobody waits for any more is ended by the server.
func TestServerEndsWhatNobodyWaitsFor(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	c.Timeout = 2 * time.Second
	db := storetest.OpenConfig(t, c)
	var name string
	var idle int
	var limit float64
	if err := db.SQL().QueryRow("SHOW SESSION VARIABLES LIKE 'wait_timeout'").Scan(&name, &idle); err != nil || idle > 10 {
		t.Errorf("%s is %d, %v", name, idle, err)
	}
	if err := db.SQL().QueryRow("SHOW SESSION VARIABLES LIKE 'max_statement_time'").Scan(&name, &limit); err != nil || limit != 2 {
		t.Errorf("%s is %v, %v", name, limit, err)
	}
	begun := time.Now()
	_, err := db.SQL().ExecContext(t.Context(), "SELECT COUNT(*) FROM seq_1_to_1000000 a JOIN seq_1_to_1000000 b ON a.seq % 7 = b.seq % 5") // with no deadline of its own
	if took := time.Since(begun); err == nil || took > 8*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}
