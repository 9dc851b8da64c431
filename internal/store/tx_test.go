package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// add inserts a user in a transaction of its own, or in that of ctx.
func add(ctx context.Context, db *store.DB, id string) error {
	return db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Exec("INSERT INTO users (id, name) VALUES (?, ?)", id, "name of "+id).Error
	})
}

// ids returns the users of the database, or of the transaction of ctx.
func ids(t *testing.T, ctx context.Context, db *store.DB) []string {
	t.Helper()
	got := []string{}
	err := db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw("SELECT id FROM users ORDER BY id").Scan(&got).Error
	})
	if err != nil {
		t.Fatalf("read users: %v", err)
	}
	return got
}

func wantIDs(t *testing.T, db *store.DB, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), ids(t, t.Context(), db)); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

// Two packages that each call Write commit together when one calls the other.
func TestWriteJoinsTheTransactionOfItsContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		before := db.Transactions()
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := add(ctx, db, "1"); err != nil {
				return err
			}
			if got := ids(t, ctx, db); len(got) != 1 {
				t.Errorf("a Read inside does not see what was written: %v", got)
			}
			return add(ctx, db, "2")
		})
		if err != nil {
			t.Fatal(err)
		}
		wantIDs(t, db, "1", "2")
		if n := db.Transactions() - before; n != 1 {
			t.Errorf("%d transactions for three nested calls, want 1", n)
		}
	})
}

// An error takes back everything since the outermost Write and reaches its caller as it is.
func TestWriteRollsBackOnError(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		refused := fault.New(fault.Forbidden, "forbidden", "not you")
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			return errors.Join(add(ctx, db, "1"), refused)
		})
		if !errors.Is(err, refused) || fault.Is(err, fault.Unavailable) {
			t.Errorf("error is %v, want the one of fn", err)
		}
		wantIDs(t, db)
	})
}

// A bug in fn must not leave the only connection of SQLite inside a transaction for ever.
func TestWriteRollsBackOnPanic(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				panic(add(ctx, db, "1"))
			})
		}()
		if err := add(t.Context(), db, "2"); err != nil {
			t.Fatalf("write after a panic: %v", err)
		}
		wantIDs(t, db, "2")
	})
}

// Commit, then push: what AfterCommit was given runs when the rows are there for everybody, and never otherwise.
func TestAfterCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var told []string
		write := func(id string, result error) {
			_ = db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
				if err := add(ctx, db, id); err != nil {
					return err
				}
				store.AfterCommit(ctx, func() { told = append(told, fmt.Sprint(id, ids(t, t.Context(), db))) })
				if len(told) > 0 && told[len(told)-1][:1] == id {
					t.Errorf("told of %s before the commit", id)
				}
				return result
			})
		}
		write("1", nil)
		write("2", errors.New("rolled back"))
		write("3", nil)
		store.AfterCommit(t.Context(), func() { told = append(told, "no transaction") })
		if diff := cmp.Diff([]string{"1[1]", "3[1 3]", "no transaction"}, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// Two transactions lock the same two rows in opposite order. The database kills one of them; Write runs it again,
// and neither caller learns of it. What the killed try wanted done after commit is done once.
func TestWriteRunsAgainAfterDeadlock(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	for _, id := range []string{"1", "2"} {
		if err := add(t.Context(), db, id); err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu          sync.Mutex // guards tries and told
		tries, told int
		both, errs  = make(chan struct{}, 2), make(chan error, 2)
		release     = make(chan struct{})
		lock        = "SELECT id FROM users WHERE id = ? FOR UPDATE"
		count       = func(n *int) int { mu.Lock(); defer mu.Unlock(); *n++; return *n }
		inOrder     = func(first, second string) error {
			meet := true // only in the first try: in the second one the other transaction may be over
			return db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
				count(&tries)
				store.AfterCommit(ctx, func() { count(&told) })
				if err := tx.Exec(lock, first).Error; err != nil {
					return err
				}
				if meet {
					meet = false
					both <- struct{}{}
					<-release
				}
				return tx.Exec(lock, second).Error
			})
		}
	)
	go func() { errs <- inOrder("1", "2") }()
	go func() { errs <- inOrder("2", "1") }()
	<-both
	<-both
	close(release)
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("a deadlock reached the caller: %v", err)
		}
	}
	if tries != 3 || told != 2 {
		t.Errorf("%d tries and %d told, want 3 and 2", tries, told)
	}
}

// A tree and its roster are read as they stood at one moment, though somebody commits in between.
func TestReadIsOneSnapshot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Read(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			before := ids(t, ctx, db)
			if err := add(t.Context(), db, "1"); err != nil { // the test's context: another transaction
				return err
			}
			if after := ids(t, ctx, db); len(after) != len(before) {
				t.Errorf("a snapshot changed from %v to %v", before, after)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantIDs(t, db, "1")
	})
}

// Reading never waits for the one writer of SQLite, and MySQL must not lock rows for it.
func TestReadDoesNotWaitForWriter(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := add(ctx, db, "1"); err != nil {
				return err
			}
			wantIDs(t, db) // with the test's context, so from outside
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A caller who gave up gets "not for now", and nothing of his is written.
func TestWriteEndsWithItsContext(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
			defer cancel()
			return add(ctx, db, "1")
		})
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("error is %v, want Unavailable", err)
		}
		wantIDs(t, db)
	})
}

// Whoever must not wait for a transaction of another can tell that he is in one himself.
func TestInTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if !store.InTransaction(ctx) || store.InTransaction(store.Outside(ctx)) || store.InTransaction(t.Context()) {
				t.Error("in and outside of a transaction are confused")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Pairs finds exactly the rows named, among other conditions, up to the number it promises; none finds none.
func TestPairs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		insert := "INSERT INTO conference_members (conference_id, user_id, sort) VALUES ('1','1',1), ('1','2',2), ('2','1',3), ('2','2',4)"
		if _, err := db.SQL().ExecContext(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		many := [][2]string{{"1", "2"}, {"2", "1"}}
		for i := len(many); i < 250; i++ {
			many = append(many, [2]string{"none", fmt.Sprint(i)})
		}
		for _, c := range []struct {
			pairs [][2]string
			want  []int64
		}{
			{nil, nil},
			{many[:1], []int64{2}},
			{many, []int64{2, 3}},
			{[][2]string{{"1", "1"}, {"2", "2"}}, []int64{4}}, // sort > 1 holds for every pair, not for the last one only
		} {
			var got []int64
			err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
				return tx.Table("conference_members").Where("sort > 1").
					Where(store.Pairs(tx, "conference_id", "user_id", c.pairs)).Order("sort").Pluck("sort", &got).Error
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%d pairs: %v, %v, want %v", len(c.pairs), got, err, c.want)
			}
		}
	})
}

// A statement that takes too long ends with the timeout of the database, in the middle of its work. SQLite used to say
// "interrupted" of it, which was taken for an error of ours.
func TestSlowStatementEnds(t *testing.T) {
	for dialect, slow := range map[string]string{
		store.MySQL:  "SELECT SLEEP(20)",
		store.SQLite: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
	} {
		t.Run(dialect, func(t *testing.T) {
			c := storetest.DSN(t, dialect)
			c.Timeout = 300 * time.Millisecond
			db := storetest.OpenConfig(t, c)
			begun := time.Now()
			err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Exec(slow).Error })
			if took := time.Since(begun); !fault.Is(err, fault.Unavailable) || took > 5*time.Second {
				t.Errorf("%v after %v, want Unavailable", err, took)
			}
			storetest.Eventually(t, func() bool { return db.Ping(t.Context()) == nil }, "the database can be used again")
		})
	}
}

// The connection ends at the COMMIT, so that nobody hears whether it was committed. A witness finds out: if it was, the caller is not
// told that it failed, and what was to be done behind the commit is done; nobody did it before, and no client was told of what is there.
func TestWitness(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	for name, c := range map[string]struct {
		says bool
		late int   // how often he has seen nothing before he sees it
		err  error // the first time that he is asked
		want bool
	}{"committed": {true, 0, nil, true}, "not committed": {false, 0, nil, false}, "asked twice": {true, 0, errors.New("away"), true}, "still at it": {true, 3, nil, true}} {
		t.Run(name, func(t *testing.T) {
			var told, asked int
			err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
				store.AfterCommit(ctx, func() { told++ })
				store.Witness(ctx, func(ctx context.Context) (bool, error) {
					if store.InTransaction(ctx) {
						t.Error("asked within the transaction that is gone")
					}
					if asked++; asked == 1 && c.err != nil {
						return false, c.err
					}
					return c.says && asked > c.late, nil
				})
				if err := add(ctx, db, name); err != nil {
					return err
				}
				var me int64
				if err := tx.Raw("SELECT CONNECTION_ID()").Scan(&me).Error; err != nil {
					return err
				}
				_, err := db.SQL().ExecContext(t.Context(), "KILL ?", me)
				return err
			})
			if (err == nil) != c.want || (told == 1) != c.want || asked == 0 {
				t.Errorf("%v, told %d times, asked %d times", err, told, asked)
			}
		})
	}
}
