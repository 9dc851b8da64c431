package storetest_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"
	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Each test begins with empty tables, whatever the test before it left behind.
func TestEachDatabaseIsFresh(t *testing.T) {
	for range 2 {
		storetest.Each(t, func(t *testing.T, db *store.DB) {
			if n := count(t, db); n != 0 {
				t.Fatalf("a fresh database holds %d users", n)
			}
			if err := db.SQL().QueryRow("INSERT INTO users (id) VALUES ('7') RETURNING 1").Scan(new(int)); err != nil {
				t.Fatalf("insert: %v", err)
			}
			if n := count(t, db); n != 1 {
				t.Fatalf("%d users after one insert", n)
			}
		})
	}
}

func count(t *testing.T, db *store.DB) int64 {
	t.Helper()
	var n int64
	err := db.SQL().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM users").Scan(&n)
	if err != nil {
		t.Fatalf("count users: %v", err)
	}
	return n
}

// Two nodes that share a database are two handles on one DSN.
func TestTwoHandlesSeeOneDatabase(t *testing.T) {
	c := storetest.DSN(t, store.MySQL)
	one, two := storetest.OpenConfig(t, c), storetest.OpenConfig(t, c)
	if _, err := one.SQL().Exec("CREATE TABLE seen (n INT)"); err != nil {
		t.Fatal(err)
	}
	err := two.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Exec("INSERT INTO seen VALUES (1)").Error
	})
	if err != nil {
		t.Fatalf("the other handle does not see the table: %v", err)
	}
}

func TestRedisPrefixesDiffer(t *testing.T) {
	r, a, b := storetest.Redis(t), storetest.Prefix(t), storetest.Prefix(t)
	if err := r.Set(t.Context(), a+":k", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.Get(t.Context(), b+":k").Err(); err != redis.Nil {
		t.Fatalf("one test sees the key of another: %v", err)
	}
}

// A cut line is a server that is gone; a mended one is a server that is back.
func TestLineCutAndMended(t *testing.T) {
	line := storetest.NewLine(t, storetest.RedisAddr(t))
	r := redis.NewClient(&redis.Options{Addr: line.Addr(), MaxRetries: -1})
	defer r.Close()
	if err := r.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("through the line: %v", err)
	}
	line.Cut()
	if err := r.Ping(t.Context()).Err(); err == nil {
		t.Fatal("a cut line still answers")
	}
	line.Mend()
	storetest.Eventually(t, func() bool { return r.Ping(t.Context()).Err() == nil }, "redis answers again")
}
