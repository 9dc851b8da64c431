package presence

import (
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The roster calls a guest what his token does, for as long as he is there; a member what his list does.
func TestRoleOfToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		if err := n.AddMembers(t.Context(), "c", []Member{{UserID: "max", Role: "observer"}}); err != nil {
			t.Fatal(err)
		}
		as := func(user, role string) string {
			t.Helper()
			s := session("c", user)
			s.Role = role
			if _, err := n.Open(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			return s.ID
		}
		is := func(user, want string) {
			t.Helper()
			r, err := n.Roster(t.Context(), "c", 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range r.Users {
				if e.UserID == user && e.Role == want {
					return
				}
			}
			t.Errorf("%s is not called %q: %+v", user, want, r.Users)
		}
		as("max", "host")
		is("max", "observer")
		one := as("gus", "host")
		is("gus", "host")
		before := n.versions(t).Roster
		two := as("gus", "") // a tab with a token that does not say
		is("gus", "host")
		three := as("gus", "observer")
		is("gus", "observer")
		if got := n.versions(t).Roster; got != before+2 {
			t.Errorf("roster version %d after %d", got, before)
		}
		for _, s := range []string{one, two, three} {
			n.Close(s, Lost)
		}
		n.becomes(t, "gus", Reconnecting)
		is("gus", "observer")
		four := as("gus", "")
		is("gus", "observer")
		n.Close(four, Left)
		n.becomes(t, "gus", Offline)
		as("gus", "") // another arrival, by a token that does not say
		is("gus", "")
		if err := n.RemoveMember(t.Context(), "c", "max"); err != nil {
			t.Fatal(err)
		}
		is("max", "host")
		for _, at := range []int64{0, time.Now().UnixMilli()} {
			if r, err := n.RosterAt(t.Context(), "c", at, 10); err != nil || at != 0 && r.Online != 2 {
				t.Errorf("as it was: %+v, %v", r, err)
			}
		}
	})
}

// A row that somebody wrote over is put back with the role of the session that is open.
func TestRoleIsHealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		s := session("c", "gus")
		s.Role = "host"
		if _, err := n.Open(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		do(t, db, "DELETE FROM presence")
		do(t, db, "DELETE FROM presence_sessions")
		n.becomes(t, "gus", Online)
		if r, err := n.Roster(t.Context(), "c", 1); err != nil || len(r.Users) != 1 || r.Users[0].Role != "host" {
			t.Errorf("%+v, %v", r.Users, err)
		}
	})
}
