package presence

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// brief tells entries as "id:state", a member with a star.
func brief(entries []Entry) string {
	words := make([]string, len(entries))
	for i, e := range entries {
		words[i] = e.UserID + ":" + string(e.State)
		if e.Member {
			words[i] = "*" + words[i]
		}
	}
	return strings.Join(words, " ")
}

// hall fills conference c with everybody a roster can hold, and returns them in the order of the contract.
func (n *node) hall(t *testing.T) (want string) {
	t.Helper()
	_, err := n.ReplaceMembers(t.Context(), "c", []Member{
		{UserID: "m4", Sort: 2, Excused: true}, {UserID: "m3", Sort: 2, Name: "Three", Role: "host", Attrs: json.RawMessage(`{"seat": 12345678901234567890}`)},
		{UserID: "m2", Sort: -1}, {UserID: "m1", Sort: 5, Excused: true}, {UserID: "m5", Sort: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.open(t, "zoe") // a guest who came first
	storetest.Eventually(t, func() bool {
		return ask(t, n.cfg.DB, "SELECT MAX(arrived_at) FROM presence") < time.Now().UnixMilli()-2
	}, "the clock moves")
	n.open(t, "abe")
	n.open(t, "m1")
	lost, _ := n.open(t, "m2")
	n.Close(lost, Lost)
	n.becomes(t, "m2", Reconnecting)
	gone, _ := n.open(t, "was")
	n.Close(gone, Left)
	n.becomes(t, "was", Offline)
	return "*m2:reconnecting *m3:absent *m4:excused *m1:online *m5:absent zoe:online abe:online"
}

// Members come first, in the order of their list and there or not; then others in the order of their arrival.
func TestRoster(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		want := n.hall(t)
		r, err := n.Roster(t.Context(), "c", 7)
		if err != nil {
			t.Fatal(err)
		}
		if got := brief(r.Users); got != want || r.More {
			t.Errorf("roster:\n got %s (more %v)\nwant %s", got, r.More, want)
		}
		if r.Online != 4 || r.Expected != 3 || r.Excused != 2 {
			t.Errorf("online %d, expected %d, excused %d", r.Online, r.Expected, r.Excused)
		}
		if m3 := r.Users[1]; m3.UserName != "Three" || m3.Role != "host" || string(m3.Attrs) != `{"seat": 12345678901234567890}` {
			t.Errorf("m3: %+v", m3)
		}
		if d := r.Users[3].Devices; len(d) != 1 || d[0].IP != "10.0.0.1" || d[0].NodeID != "n1" || d[0].ConnectedAt == 0 {
			t.Errorf("devices of m1: %+v", d)
		}
		present, err := n.Present(t.Context(), "c")
		if got := brief(present); err != nil || got != "*m2:reconnecting *m1:online zoe:online abe:online" {
			t.Errorf("present: %s, %v", got, err)
		}
		if r, err = n.Roster(t.Context(), "c", 5); err != nil || !r.More || len(r.Users) != 5 {
			t.Errorf("roster of 5: %d users, more %v, %v", len(r.Users), r.More, err)
		}
	})
}

// Pages of any size give the same list, each with the numbers of all, and a cursor that nobody gave out is refused.
func TestPages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		want := n.hall(t)
		all, err := n.Roster(t.Context(), "c", 100)
		if err != nil {
			t.Fatal(err)
		}
		for size := 1; size <= 8; size++ {
			var pages []Entry
			for cursor := ""; ; {
				r, next, err := n.Page(t.Context(), "c", cursor, size)
				if err != nil || r.Versions != n.versions(t) || len(r.Users) > size || r.More != (next != "") {
					t.Fatalf("page of %d: %d items, versions %v, more %v, next %q, %v", size, len(r.Users), r.Versions, r.More, next, err)
				}
				if r.Online != all.Online || r.Expected != all.Expected || r.Excused != all.Excused {
					t.Errorf("page of %d says %d online, %d expected, %d excused; the roster says %d, %d, %d", size, r.Online, r.Expected, r.Excused, all.Online, all.Expected, all.Excused)
				}
				pages = append(pages, r.Users...)
				if cursor = next; cursor == "" {
					break
				}
			}
			if got := brief(pages); got != want {
				t.Errorf("pages of %d:\n got %s\nwant %s", size, got, want)
			}
		}
		for _, bad := range []string{"x", "!", "bnVsbA", "e30"} {
			if _, _, err := n.Page(t.Context(), "c", bad, 1); fault.Of(err) == nil || fault.Of(err).Code != "bad_cursor" {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	})
}

// The list can be replaced, added to and shortened; every change is a version.
func TestMembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		removed, err := n.ReplaceMembers(t.Context(), "c", []Member{{UserID: "a"}, {UserID: "b"}, {UserID: "d"}})
		if err != nil || len(removed) != 0 {
			t.Fatalf("removed %v, %v", removed, err)
		}
		removed, err = n.ReplaceMembers(t.Context(), "c", []Member{{UserID: "b", Name: "B"}})
		if diff := cmp.Diff([]string{"a", "d"}, removed); err != nil || diff != "" {
			t.Errorf("removed (-want +got):\n%s%v", diff, err)
		}
		if err := n.AddMembers(t.Context(), "c", []Member{{UserID: "e", Role: "observer", Sort: -1, Attrs: json.RawMessage(`{"x":1}`)}, {UserID: "b", Name: "BB"}}); err != nil {
			t.Fatal(err)
		}
		items, next, err := n.Members(t.Context(), "c", "", 1)
		want := []Member{{UserID: "e", Role: "observer", Sort: -1, Attrs: json.RawMessage(`{"x":1}`)}}
		if diff := cmp.Diff(want, items); err != nil || diff != "" {
			t.Errorf("first page (-want +got):\n%s%v", diff, err)
		}
		items, next, err = n.Members(t.Context(), "c", next, 1)
		if diff := cmp.Diff([]Member{{UserID: "b", Name: "BB", Role: "member"}}, items); err != nil || diff != "" || next != "" {
			t.Errorf("second page (-want +got):\n%s%q %v", diff, next, err)
		}
		if err := n.RemoveMember(t.Context(), "c", "e"); err != nil {
			t.Error(err)
		}
		if err := n.RemoveMember(t.Context(), "c", "e"); !fault.Is(err, fault.NotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if err := n.AddMembers(t.Context(), "c", []Member{{UserID: "x"}, {UserID: "x"}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("twice in a list: %v", err)
		}
		if v := n.versions(t); v.Members != 4 || v.Roster != 4 || v.Tree != 0 {
			t.Errorf("versions %+v", v)
		}
	})
}

// Versions outlive all that they are about: after everything was deleted they go on, never back.
func TestVersionsNeverGoBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		var last Versions
		for i := range 3 {
			n.open(t, "anna")
			if _, err := n.ReplaceMembers(t.Context(), "c", []Member{{UserID: "anna"}}); err != nil {
				t.Fatal(err)
			}
			closed, err := n.CloseConference(t.Context(), "c")
			if err != nil || len(closed) != 1 {
				t.Fatalf("closed %v, %v", closed, err)
			}
			if _, err := n.ReplaceMembers(t.Context(), "c", nil); err != nil {
				t.Fatal(err)
			}
			do(t, db, "DELETE FROM presence")
			now := n.versions(t)
			if now.Tree <= last.Tree || now.Roster <= last.Roster || now.Members <= last.Members {
				t.Errorf("round %d: %+v after %+v", i, now, last)
			}
			last = now
		}
	})
}

// A name that arrives late is shown at once, but never over a better one, and is gone when its user is deleted.
func TestUsers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		n.open(t, "anna")
		s := session("c", "bob")
		s.UserName, s.NameTrusted = "token", true
		if _, err := n.Open(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		before := n.versions(t).Roster
		if err := n.AddMembers(t.Context(), "c", []Member{{UserID: "anna", Name: "list"}, {UserID: "bob", Name: "list"}}); err != nil {
			t.Fatal(err)
		}
		if got := n.truth(t, "anna").UserName; got != "list" {
			t.Errorf("anna is shown as %q", got)
		}
		if err := n.PutUsers(t.Context(), []User{{"anna", "old"}, {"bob", "Bob"}, {"anna", "Anna"}}); err != nil {
			t.Fatal(err)
		}
		if a, b := n.truth(t, "anna").UserName, n.truth(t, "bob").UserName; a != "Anna" || b != "token" {
			t.Errorf("shown as %q and %q", a, b)
		}
		if got := n.versions(t).Roster; got <= before {
			t.Errorf("roster version %d after %d", got, before)
		}
		if u, err := n.User(t.Context(), "anna"); err != nil || u.Name != "Anna" {
			t.Errorf("%+v, %v", u, err)
		}
		if err := n.DeleteUser(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
		if _, err := n.User(t.Context(), "anna"); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleted user: %v", err)
		}
		for _, query := range []string{
			"SELECT COUNT(*) FROM presence_sessions WHERE user_id = 'anna' AND (user_name <> '' OR ip <> '' OR device_id <> '')",
			"SELECT COUNT(*) FROM presence WHERE user_id = 'anna' AND user_name <> ''",
			"SELECT COUNT(*) FROM conference_members WHERE user_id = 'anna' AND name <> ''",
		} {
			if got := ask(t, db, query); got != 0 {
				t.Errorf("%s: %d", query, got)
			}
		}
		if err := n.PutUsers(t.Context(), []User{{"x", strings.Repeat("x", 256)}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("long name: %v", err)
		}
	})
}

// A kick closes what is open, also on other nodes, ends a grace, and tells the ids of the sessions.
func TestKick(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		lost, _ := n.open(t, "anna")
		n.Close(lost, Lost)
		n.becomes(t, "anna", Reconnecting)
		other := session("other", "anna")
		if _, err := n.Open(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		closed, err := n.CloseUsers(t.Context(), []string{"anna"}, "c")
		if err != nil || len(closed) != 0 {
			t.Errorf("closed in c: %v, %v", closed, err)
		}
		if got := n.truth(t, "anna"); got.State != Offline || got.Reason != Kicked {
			t.Errorf("anna: %+v", got)
		}
		closed, err = n.CloseUsers(t.Context(), []string{"anna"}, "")
		if diff := cmp.Diff([]string{other.ID}, closed); err != nil || diff != "" {
			t.Errorf("closed (-want +got):\n%s%v", diff, err)
		}
		if n.Held() != 0 {
			t.Errorf("%d held", n.Held())
		}
	})
}

// Who is where, in all the shapes that are asked for.
func TestQueries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, nil)
		for i := range 5 {
			for _, conf := range []string{"c", "d"}[:1+i%2] {
				s := session(conf, fmt.Sprintf("u%d", i))
				s.ClientType = []string{"web", "app"}[i%2]
				if _, err := n.Open(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
		u, err := n.OfUser(t.Context(), "u1")
		if err != nil || len(u.Conferences) != 2 || u.Conferences[0].ConferenceID != "c" || len(u.Conferences[1].Devices) != 1 {
			t.Errorf("u1: %+v, %v", u, err)
		}
		all, err := n.Query(t.Context(), []string{"nobody", "u2"})
		if err != nil || len(all) != 2 || len(all[0].Conferences) != 0 || all[1].Conferences[0].State != Online {
			t.Errorf("query: %+v, %v", all, err)
		}
		var ids []string
		for cursor := ""; ; {
			items, next, err := n.Online(t.Context(), cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range items {
				ids = append(ids, u.UserID)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff([]string{"u0", "u1", "u2", "u3", "u4"}, ids); diff != "" {
			t.Errorf("online (-want +got):\n%s", diff)
		}
		s, err := n.Summary(t.Context())
		if err != nil || s.Sockets != 7 || s.Users != 5 || s.Conferences != 2 || len(s.Nodes) != 1 || s.Nodes[0].ID != "n1" {
			t.Errorf("summary: %+v, %v", s, err)
		}
		if diff := cmp.Diff(map[string]int{"web": 3, "app": 4}, s.ClientTypes); diff != "" {
			t.Errorf("client types (-want +got):\n%s", diff)
		}
	})
}
