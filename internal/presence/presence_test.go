package presence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// One user comes, is lost, comes back in time, and leaves: every word of it reaches the database and the room.
func TestStoryOfOneUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		first, a := n.open(t, "anna")
		if !a.Came || a.Back {
			t.Errorf("first arrival: %+v", a)
		}
		v := n.versions(t)
		if v.Tree != 1 || v.Roster != 1 {
			t.Errorf("versions after she came: %+v", v)
		}
		n.Close(first, Lost)
		n.Close(first, Left) // twice is once, and the first reason wins
		n.becomes(t, "anna", Reconnecting)
		if got := n.versions(t); got.Tree != 1 || got.Roster != 2 {
			t.Errorf("versions after she was lost: %+v", got)
		}
		second, a := n.open(t, "anna")
		if a.Came || !a.Back {
			t.Errorf("second arrival: %+v", a)
		}
		n.Close(second, Left)
		n.becomes(t, "anna", Offline)
		want := []string{"offline>online", "online>reconnecting:lost", "reconnecting>online", "online>offline:left"}
		storetest.Eventually(t, func() bool { return cmp.Equal(want, n.told("anna")) }, "the whole story is told")
		if got := n.versions(t); got.Tree != 2 || got.Roster != 4 {
			t.Errorf("versions after she left: %+v", got)
		}
		if got := n.truth(t, "anna"); got.Reason != Left || got.Online != 0 {
			t.Errorf("truth at the end: %+v", got)
		}
		storetest.Eventually(t, func() bool { return n.Held() == 0 }, "nothing is held")
	})
}

// Somebody with two devices has two sessions and is one user.
func TestUsersAreCountedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		for _, user := range []string{"anna", "anna", "ben"} {
			n.open(t, user)
		}
		if users, sessions := n.users(), n.Held(); users != 2 || sessions != 3 {
			t.Errorf("%d users with %d sessions", users, sessions)
		}
	})
}

// Who does not come back within the grace goes offline as lost.
func TestGraceEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		s, _ := n.open(t, "anna")
		n.open(t, "bob")
		n.Close(s, Lost)
		n.becomes(t, "anna", Offline)
		storetest.Eventually(t, func() bool { return len(n.told("anna")) == 3 }, "she was told reconnecting, then offline")
		if got := n.told("anna")[2]; got != "reconnecting>offline:lost" {
			t.Errorf("told %q", got)
		}
		if got := n.truth(t, "bob"); got.State != Online || got.Online != 1 {
			t.Errorf("bob: %+v", got)
		}
	})
}

// A page reload: the new session opens before the old one is closed. Nobody is told anything.
func TestLateCloseOfOldSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		old, _ := n.open(t, "anna")
		for range 20 {
			fresh, a := n.open(t, "anna")
			if a.Came || a.Back {
				t.Fatalf("a second session is no arrival: %+v", a)
			}
			n.Close(old, Left)
			storetest.Eventually(t, func() bool { return n.Held() == 1 }, "the old session is closed")
			old = fresh
		}
		if got := n.told("anna"); len(got) != 1 {
			t.Errorf("told %v, want only that she came", got)
		}
		if got := n.versions(t).Tree; got != 1 {
			t.Errorf("tree version %d, want 1: the number never changed", got)
		}
	})
}

// Two devices, one user: only the last one to go takes him away.
func TestTwoSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = 0 })
		one, _ := n.open(t, "anna")
		two, _ := n.open(t, "anna")
		n.Close(one, Lost)
		storetest.Eventually(t, func() bool { return n.Held() == 1 }, "one session is closed")
		if got := n.state(t, "anna"); got != Online {
			t.Errorf("state %s with one session left", got)
		}
		n.Close(two, Lost)
		n.becomes(t, "anna", Offline)
	})
}

// 1,000 people come at once: few transactions, right numbers, and everybody is told of exactly once.
func TestGroupCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const people = 1000
		n := start(t, db, func(p *Presence) { p.cfg.Heartbeat = time.Minute })
		before := db.Transactions()
		var wg sync.WaitGroup
		for i := range people {
			wg.Go(func() {
				if a, err := n.Open(t.Context(), session("c", fmt.Sprintf("u%d", i))); err != nil || !a.Came {
					t.Errorf("user %d: %+v, %v", i, a, err)
				}
			})
		}
		wg.Wait()
		if got := db.Transactions() - before; got > 100 {
			t.Errorf("%d transactions for %d opens", got, people)
		} else {
			t.Logf("%d transactions for %d opens", got, people)
		}
		r, err := n.Roster(t.Context(), "c", 10)
		if err != nil || r.Online != people || len(r.Users) != 10 || !r.More {
			t.Fatalf("roster: online %d, users %d, more %v, %v", r.Online, len(r.Users), r.More, err)
		}
		storetest.Eventually(t, func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.changes) == people }, "all are told of")
		for i, c := range n.changes {
			if c.Online != i+1 {
				t.Fatalf("number after change %d is %d", i, c.Online)
			}
		}
	})
}

// One op that the database refuses fails alone; the others of its batch are written.
func TestPoisonedOpFailsAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		poison := strings.Repeat("x", 300) // longer than the column, for MySQL; SQLite needs the trigger
		if db.Dialect() == store.SQLite {
			do(t, db, "CREATE TRIGGER poison BEFORE INSERT ON presence_sessions WHEN length(NEW.user_id) > 64 BEGIN SELECT RAISE(ABORT, 'too long'); END")
		}
		n := prepare(db, nil)
		var wg sync.WaitGroup
		for i := range 20 { // before Run: they are in one batch
			wg.Go(func() {
				user := fmt.Sprintf("u%d", i)
				if i == 7 {
					user = poison
				}
				_, err := n.Open(t.Context(), session("c", user))
				if bad := err != nil; bad != (i == 7) || bad && fault.Is(err, fault.Unavailable) {
					t.Errorf("user %d: %v", i, err)
				}
			})
		}
		n.run(t)
		wg.Wait()
		if got := n.truth(t, "u0").Online; got != 19 {
			t.Errorf("%d online, want 19", got)
		}
		if n.Held() != 19 {
			t.Errorf("%d held, want 19", n.Held())
		}
	})
}

// What Record cannot write does not happen.
func TestRecordIsInTheTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) {
			p.cfg.Record = func(_ context.Context, changes []Change) error {
				if changes[0].UserID == "eve" {
					return errors.New("no")
				}
				return nil
			}
		})
		if _, err := n.Open(t.Context(), session("c", "eve")); err == nil {
			t.Error("eve was let in")
		}
		n.open(t, "anna")
		if got := ask(t, db, "SELECT COUNT(*) FROM presence_sessions"); got != 1 {
			t.Errorf("%d session rows, want 1", got)
		}
	})
}

// Under newest the older sessions are named so that the caller ends them; under oldest the newcomer is refused.
func TestDuplicates(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Duplicates = "newest" })
		old, _ := n.open(t, "anna")
		_, a := n.open(t, "anna")
		if diff := cmp.Diff([]string{old}, a.Superseded); diff != "" {
			t.Errorf("superseded (-want +got):\n%s", diff)
		}
		n.Close(old, Duplicate)
		storetest.Eventually(t, func() bool { return n.Held() == 1 }, "the old session is closed")
		if got := n.state(t, "anna"); got != Online {
			t.Errorf("state %s", got)
		}
		n.stop()

		o := start(t, db, func(p *Presence) { p.cfg.Duplicates = "oldest" })
		o.open(t, "bob")
		_, err := o.Open(t.Context(), session("c", "bob"))
		if f := fault.Of(err); f == nil || f.Kind != fault.Conflict || f.Code != "duplicate_session" {
			t.Errorf("second session: %v", err)
		}
		if _, err := o.Open(t.Context(), session("other", "bob")); err != nil {
			t.Errorf("another conference: %v", err)
		}
		if got := o.Held(); got != 2 {
			t.Errorf("%d held, want 2", got)
		}
	})
}

// A session without a conference is on record and changes nobody's presence.
func TestSessionWithoutConference(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		if err := n.PutUsers(t.Context(), []User{{"anna", "Anna"}}); err != nil {
			t.Fatal(err)
		}
		s := session("", "anna")
		a, err := n.Open(t.Context(), s)
		if err != nil || a.Came || a.UserName != "Anna" {
			t.Fatalf("arrival %+v, %v", a, err)
		}
		n.Close(s.ID, Left)
		storetest.Eventually(t, func() bool {
			return ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NOT NULL AND reason = 'left'") == 1
		}, "the session is closed")
		if got := ask(t, db, "SELECT COUNT(*) FROM presence"); got != 0 || len(n.changes) != 0 {
			t.Errorf("%d presence rows, changes %v", got, n.changes)
		}
	})
}

// The peer goes while its connect is being handled: nothing of it stays.
func TestCloseOvertakesOpen(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = 0 })
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				s := session("c", "u"+id.New())
				go n.Close(s.ID, Left)
				_, _ = n.Open(t.Context(), s)
				n.Close(s.ID, Left)
			})
		}
		wg.Wait()
		storetest.Eventually(t, func() bool {
			return n.Held() == 0 && ask(t, db, "SELECT COUNT(*) FROM presence WHERE state <> 'offline'") == 0 &&
				ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL") == 0
		}, "no ghosts")
	})
}

// An Open that nobody waits for any more leaves nothing behind, and one after the end is told to come back.
func TestOpenGivesUp(t *testing.T) {
	db := storetest.Open(t, store.SQLite)
	n := prepare(db, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Open(ctx, session("c", "anna")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("open before Run: %v", err)
	}
	n.run(t)
	<-n.Ready()
	n.stop()
	if _, err := n.Open(t.Context(), session("c", "anna")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("open after Run: %v", err)
	}
	if err := <-n.err; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Names: the token's, the users table's, the members list's, the handshake's.
func TestNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		if err := n.AddMembers(t.Context(), "c", []Member{{UserID: "u1", Name: "list"}, {UserID: "u2", Name: "list"}}); err != nil {
			t.Fatal(err)
		}
		if err := n.PutUsers(t.Context(), []User{{"u1", "table"}}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			user, given string
			trusted     bool
			want        string
		}{
			{"u1", "token", true, "token"}, {"u1", "", true, "table"}, {"u1", "hand", false, "table"},
			{"u2", "hand", false, "list"}, {"u3", "hand", false, "hand"}, {"u4", "", false, ""},
			{"u5", strings.Repeat("é", 300) + "\xff", false, strings.Repeat("é", 255)},
		} {
			s := session("c", c.user)
			s.UserName, s.NameTrusted = c.given, c.trusted
			a, err := n.Open(t.Context(), s)
			if err != nil || a.UserName != c.want {
				t.Errorf("%s given %q: %q, %v", c.user, c.given, a.UserName, err)
			}
			if got := n.truth(t, c.user).UserName; got != c.want {
				t.Errorf("%s given %q: shown as %q", c.user, c.given, got)
			}
		}
	})
}
