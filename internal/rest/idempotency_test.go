package rest

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/message"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const pushBody = `{"userIds":[1],"message":"once","destination":"hello"}`

// TestParallelPosts: 50 equal POSTs at the same time make one effect; each is told of it, or that it is being made.
func TestParallelPosts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1")
		answers := make([]response, 50)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = b.do("POST", prefix+"/push", pushBody, "Idempotency-Key", "same") })
		}
		all.Wait()
		first, given := "", 0
		for _, r := range answers {
			if r.Code == http.StatusConflict && r.fields["code"] == "idempotency_in_flight" {
				continue
			}
			if given++; first == "" {
				first = r.Body.String()
			}
			if r.Code != http.StatusAccepted || r.Body.String() != first {
				t.Errorf("another answer: %d %s, not %s", r.Code, r.Body, first)
			}
		}
		if given == 0 {
			t.Error("nobody was told of the effect")
		}
		if n := len(b.logged("hello")); n != 1 || b.hall.heard(`hello "once"`) != 1 {
			t.Errorf("%d rows, emitted %d times", n, b.hall.heard(`hello "once"`))
		}
	})
}

// TestReplay: the same key gives the first answer again, also by another door on the same database, but only to the
// same body, method and path, and not to what failed.
func TestReplay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		first := b.must(202, "POST", "/push", pushBody, "Idempotency-Key", "k")
		if first.Header().Get("Idempotency-Replayed") != "" {
			t.Error("the first answer says that it is a replay")
		}
		c := b.Config
		reg := prometheus.NewRegistry()
		c.Metrics, c.Gatherer = reg, reg
		restarted := &bench{Door: New(c), t: t, hall: b.hall}
		again := restarted.must(202, "POST", "/push", pushBody, "Idempotency-Key", "k")
		if again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("replay: %s %v, first was %s", again.Body, again.Header(), first.Body)
		}
		b.refused("422 idempotency_mismatch", "POST", "/push", pushBody+" ", "Idempotency-Key", "k")
		b.must(202, "POST", "/push/all", pushBody, "Idempotency-Key", "k")
		if n := len(b.logged("hello")); n != 2 {
			t.Errorf("%d rows", n)
		}
		b.refused("422 reserved_event", "POST", "/push", `{"destination":"connect"}`, "Idempotency-Key", "failed")
		b.must(202, "POST", "/push", pushBody, "Idempotency-Key", "failed")
		created := b.must(201, "POST", "/users", `{"users":[{"id":1,"name":"Ann"}]}`, "Idempotency-Key", "k")
		if r := b.must(201, "POST", "/users", `{"users":[{"id":1,"name":"Ann"}]}`, "Idempotency-Key", "k"); r.Body.String() != created.Body.String() {
			t.Errorf("replay of a creation: %s", r.Body)
		}
	})
}

// TestOldKeys: after 24 hours a key is as good as new, and its row is deleted.
func TestOldKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		first := b.must(202, "POST", "/push", pushBody, "Idempotency-Key", "k")
		age(t, db)
		if r := b.must(202, "POST", "/push", pushBody, "Idempotency-Key", "k"); r.Body.String() == first.Body.String() {
			t.Error("an old answer was given again")
		}
		for i := range trimBatch + 1 {
			makeKey(t, db, itoa(i))
		}
		age(t, db)
		b.must(202, "POST", "/push", pushBody, "Idempotency-Key", "young")
		if err := b.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := keys(t, db); n != 1 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// TestKeyHeldByAnotherNode: another node that works on a key holds the lock of its row; here it is in flight.
func TestKeyHeldByAnotherNode(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	b := open(t, db)
	other := db.SQL()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	id := digest("anonymous", "POST", prefix+"/push", "k")
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO idempotency_keys (id, body_digest, created_at) VALUES (?, '', ?)", id, time.Now().UnixMilli()); err != nil {
		t.Fatal(err)
	}
	b.refused("409 idempotency_in_flight", "POST", "/push", pushBody, "Idempotency-Key", "k")
}

// TestKeyAndEffectTogether: what fails at its very end leaves neither effect nor key.
func TestKeyAndEffectTogether(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		ctx := context.WithValue(t.Context(), visitKey{}, &visit{})
		_, err := once(ctx, b.Door, key{id: digest("k"), digest: "d"}, func(ctx context.Context) (*answer[pushed], error) {
			if _, err := b.Messages.Push(ctx, message.Push{Users: []string{"1"}, Event: "hello", Message: []byte("1")}); err != nil {
				return nil, err
			}
			return nil, fault.Invalidf("too late")
		})
		if !fault.Is(err, fault.Invalid) || len(b.logged("hello")) != 0 || b.hall.heard("hello 1") != 0 || keys(t, db) != 0 {
			t.Errorf("err %v, %d rows, %d keys, told %v", err, len(b.logged("hello")), keys(t, db), b.hall.told)
		}
	})
}

func age(t *testing.T, db *store.DB) {
	t.Helper()
	write(t, db, func(tx *gorm.DB) error {
		return tx.Exec("UPDATE idempotency_keys SET created_at = created_at - ?", (keyLifetime + time.Minute).Milliseconds()).Error
	})
}

func makeKey(t *testing.T, db *store.DB, name string) {
	t.Helper()
	write(t, db, func(tx *gorm.DB) error {
		return tx.Create(&keyRow{ID: digest(name), CreatedAt: time.Now().UnixMilli()}).Error
	})
}

func keys(t *testing.T, db *store.DB) (n int64) {
	t.Helper()
	write(t, db, func(tx *gorm.DB) error { return tx.Model(&keyRow{}).Count(&n).Error })
	return n
}

func write(t *testing.T, db *store.DB, fn func(*gorm.DB) error) {
	t.Helper()
	if err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return fn(tx) }); err != nil {
		t.Fatal(err)
	}
}
