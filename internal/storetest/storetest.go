// Package storetest gives each test a fresh real database and a Redis prefix of its own.
package storetest

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/id"
	"rollcall/internal/store"
	migrations "rollcall/sql"
)

// Each runs fn twice, as subtests "sqlite" and "mariadb", each with an empty, migrated database.
func Each(t *testing.T, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, Open(t, store.SQLite)) })
	t.Run("mariadb", func(t *testing.T) { fn(t, Open(t, store.MySQL)) })
}

// EachFor is Each with databases that may take longer over a transaction, for tests of a size that slow machines need time for.
func EachFor(t *testing.T, timeout time.Duration, fn func(t *testing.T, db *store.DB)) {
	t.Helper()
	for name, dialect := range map[string]string{"sqlite": store.SQLite, "mariadb": store.MySQL} {
		t.Run(name, func(t *testing.T) {
			c := DSN(t, dialect)
			c.Timeout = timeout
			fn(t, migrated(t, OpenConfig(t, c)))
		})
	}
}

// Open returns an empty, migrated database of the dialect, which is closed and dropped when t ends.
func Open(t testing.TB, dialect string) *store.DB {
	t.Helper()
	return migrated(t, OpenConfig(t, DSN(t, dialect)))
}

func migrated(t testing.TB, db *store.DB) *store.DB {
	t.Helper()
	if err := migrations.Up(t.Context(), db.SQL(), db.Dialect()); err != nil {
		t.Fatalf("migrate test database: %v", err)
	}
	return db
}

// OpenConfig opens the database of c as it is and closes it when t ends. It serves for a second handle on a
// database of DSN, as another node would have it.
func OpenConfig(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close test database: %v", err)
		}
	})
	return db
}

// DSN makes an empty database of the dialect without any table, and returns how to open it. It is dropped when
// t ends.
func DSN(t testing.TB, dialect string) store.Config {
	t.Helper()
	c := store.Config{Driver: dialect, MaxOpenConns: 20, Timeout: 5 * time.Second}
	if dialect == store.SQLite {
		c.DSN = filepath.Join(t.TempDir(), "rollcall.db")
		return c
	}
	dsn, err := mysql.ParseDSN(find(t).mysql)
	if err != nil {
		t.Fatalf("read %s: %v", mysqlVar, err)
	}
	admin, err := sql.Open("mysql", dsn.FormatDSN())
	if err != nil {
		t.Fatalf("open %s: %v", mysqlVar, err)
	}
	name := "rollcall_test_" + strings.ToLower(id.New())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name); err != nil { // t's context is over by now
			t.Errorf("drop test database: %v", err)
		}
		_ = admin.Close()
	})
	dsn.DBName = name
	c.DSN = dsn.FormatDSN()
	return c
}

// RedisAddr returns host:port of the Redis for tests. All tests share it: use Prefix.
func RedisAddr(t testing.TB) string {
	t.Helper()
	return find(t).redis
}

// Redis returns a client of the Redis for tests, closed when t ends.
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: RedisAddr(t)})
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("reach %s: %v", redisVar, err)
	}
	return c
}

// Prefix returns a prefix for Redis keys and channels that no other test has.
func Prefix(t testing.TB) string {
	t.Helper()
	return "rollcall-test-" + strings.ToLower(id.New())
}
