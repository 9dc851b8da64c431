package conference

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Whoever asked for a kick, or for a deletion, hangs up right after the commit. What was committed is done all the same:
// it used to end with the request, and the sessions stayed open.
func TestHangingUpAfterTheCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		for what, do := range map[string]func(context.Context) error{
			"kick":   func(ctx context.Context) error { b.Kick(ctx, "anna", "42", "bye"); return nil },
			"delete": func(ctx context.Context) error { return b.Remove(ctx, "42") },
		} {
			b.arrive(t, "anna", "42")
			ctx, hangUp := context.WithCancel(t.Context())
			err := db.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
				store.AfterCommit(ctx, hangUp)
				return do(ctx)
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.stateOf(t, "anna"); got != presence.Offline {
				t.Errorf("after a %s she is %s", what, got)
			}
		}
	})
}

// Whoever is taken off the list is sent out of the conference, also when he is just coming in, and out of no other; whoever is
// still on it stays. Without auth, or when nothing comes of it, everybody stays.
func TestDismiss(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, h := seated(t, db)
		none := func() int { return h.in("42") + h.in("43") }
		in := func(user, conf string) {
			t.Helper()
			if err := h.arrive(t.Context(), question{user, conf, Listed, true}); err != nil {
				t.Fatal(err)
			}
		}
		for _, conf := range []string{"42", "43"} {
			if err := b.presence.AddMembers(t.Context(), conf, []presence.Member{{UserID: "anna"}, {UserID: "ben"}}); err != nil {
				t.Fatal(err)
			}
			in("anna", conf)
			in("ben", conf)
		}
		in("anna", "42") // her second tab
		h.hold(func() {
			for _, s := range h.taken {
				if s.in = s.who.userID != "anna"; s.who.conferenceID == "43" {
					s.in = true
				}
			}
		})
		b.Auth = false
		b.Dismiss(t.Context(), "42", []string{"anna"})
		b.Auth = true
		failed := errors.New("no")
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error { b.Dismiss(ctx, "42", []string{"anna"}); return failed })
		if n := none(); n != 5 || err != failed {
			t.Errorf("%d are in, %v", n, err)
		}
		b.Dismiss(t.Context(), "42", nil)
		b.Dismiss(t.Context(), "42", []string{"anna", "carl"})
		if h.in("42") != 1 || h.in("43") != 2 || h.kicked["anna"] != "member_removed" || b.stateOf(t, "anna") != presence.Offline || b.stateOf(t, "ben") != presence.Online {
			t.Errorf("%d and %d are in, kicked %v, anna is %s, ben %s", h.in("42"), h.in("43"), h.kicked, b.stateOf(t, "anna"), b.stateOf(t, "ben"))
		}
	})
}

// A long list is emptied in few transactions, not one for each who goes.
func TestDismissMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, h := seated(t, db)
		users := make([]string, storetest.Size(10_000, 600))
		var all sync.WaitGroup
		for i := range users {
			if users[i] = fmt.Sprint("u", i); i%5 != 0 {
				continue
			}
			all.Go(func() {
				if err := h.arrive(t.Context(), question{users[i], "42", Free, true}); err != nil {
					t.Errorf("%s: %v", users[i], err)
				}
			})
		}
		all.Wait()
		began, before := time.Now(), db.Transactions()
		b.Dismiss(t.Context(), "42", users)
		took, wrote := time.Since(began), db.Transactions()-before
		if h.in("42") != 0 || b.census(t).open["42"] != 0 || wrote > int64(20+len(users)/20) {
			t.Errorf("%d sit, %d sessions are open, %d transactions", h.in("42"), b.census(t).open["42"], wrote)
		}
		storetest.Show(t, "%d members were taken off the list, a fifth of them there: all out in %v, in %d transactions", len(users), took.Round(time.Millisecond), wrote)
	})
}
