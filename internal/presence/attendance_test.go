package presence

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// stayed is a session in conference c that is over, or open when to is 0.
type stayed struct {
	user, name string
	from, to   int64
	why        Reason
}

// past writes a session and returns its id.
func past(t *testing.T, db *store.DB, x stayed) string {
	t.Helper()
	var closed *int64
	if x.to != 0 {
		closed = &x.to
	}
	s := id.New()
	do(t, db, "INSERT INTO presence_sessions (id, conference_id, user_id, user_name, client_type, device_id, node_id, epoch, opened_at, closed_at, reason) VALUES (?, 'c', ?, ?, 'web', 'd', 'elsewhere', 1, ?, ?, ?)",
		s, x.user, x.name, x.from, closed, x.why)
	return s
}

// Members come in the order of their list, came they or not, then others as they first came. The users table names
// people before the members list, and that before their sessions.
func TestAttendanceListsEverybody(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := New(Config{DB: db, Node: "n1", Grace: time.Second})
		if _, err := p.ReplaceMembers(t.Context(), "c", []Member{{UserID: "m2", Sort: 1, Name: "Two"}, {UserID: "m1", Sort: 2, Name: "One"}, {UserID: "m3", Sort: 3, Name: "Three"}}); err != nil {
			t.Fatal(err)
		}
		if err := p.PutUsers(t.Context(), []User{{"m1", "Prof. One"}, {"g1", "Guest"}}); err != nil {
			t.Fatal(err)
		}
		past(t, db, stayed{"g2", "later renamed", 1000, 2000, Left})
		past(t, db, stayed{"g2", "Second", 9000, 9500, Kicked})
		past(t, db, stayed{"g1", "called otherwise", 500, 800, Lost})
		past(t, db, stayed{"g1", "", 5000, 0, ""})
		past(t, db, stayed{"m1", "called otherwise", 3000, 4000, NodeLost})
		past(t, db, stayed{"m3", "", 3000, 3000, Left})
		all, err := p.Attendance(t.Context(), "c", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		want := []Attendee{
			{UserID: "m2", UserName: "Two"},
			{UserID: "m1", UserName: "Prof. One", Intervals: []Interval{{3000, 4000, NodeLost}}, TotalMs: 1000},
			{UserID: "m3", UserName: "Three", Intervals: []Interval{{3000, 3000, Left}}},
			{UserID: "g1", UserName: "Guest", Intervals: []Interval{{500, 800, Lost}, {5000, 10_000, Ended}}, TotalMs: 5300},
			{UserID: "g2", UserName: "Second", Intervals: []Interval{{1000, 2000, Left}, {9000, 9500, Kicked}}, TotalMs: 1500},
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("attendance (-want +got):\n%s", diff)
		}
		if all, err = p.Attendance(t.Context(), "nowhere", 0); err != nil || len(all) != 0 {
			t.Errorf("of a conference that never was: %v, %v", all, err)
		}
	})
}

// The roster of the past is the one of then: who was there with which device, who was reconnecting, and the numbers.
func TestRosterAt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := New(Config{DB: db, Node: "n1", Grace: time.Second})
		if _, err := p.ReplaceMembers(t.Context(), "c", []Member{{UserID: "m1", Excused: true, Role: "host"}, {UserID: "m2", Sort: 1}, {UserID: "m3", Sort: 2}}); err != nil {
			t.Fatal(err)
		}
		past(t, db, stayed{"early", "Early", 1000, 9000, Left})
		phone := past(t, db, stayed{"m1", "", 2000, 0, ""})
		past(t, db, stayed{"m2", "", 1500, 2500, Lost})
		past(t, db, stayed{"m3", "", 1500, 2500, Left})
		past(t, db, stayed{"late", "", 3001, 0, ""})
		past(t, db, stayed{"abe", "", 3000, 3500, Left})
		r, err := p.RosterAt(t.Context(), "c", 3000, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := "*m1:online *m2:reconnecting *m3:absent early:online abe:online"
		if got := brief(r.Users); got != want || r.More || r.Online != 4 || r.Expected != 2 || r.Excused != 1 || r.Versions != (Versions{}) {
			t.Errorf("got %s, %+v", got, r)
		}
		if d := r.Users[0].Devices; len(d) != 1 || d[0].SessionID != phone || d[0].NodeID != "elsewhere" || r.Users[0].Role != "host" {
			t.Errorf("m1: %+v", r.Users[0])
		}
		if got := []int64{r.Users[0].Since, r.Users[1].Since, r.Users[2].Since, r.Users[3].Since}; !cmp.Equal(got, []int64{2000, 2500, 2500, 1000}) {
			t.Errorf("since %v", got)
		}
		if r, err = p.RosterAt(t.Context(), "c", 3500, 2); err != nil || brief(r.Users) != "*m1:online *m2:absent" || !r.More || r.Online != 3 {
			t.Errorf("two at 3500: %s, %+v, %v", brief(r.Users), r, err)
		}
		if r, err = p.RosterAt(t.Context(), "c", time.Now().Add(time.Hour).UnixMilli(), 10); err != nil || r.Online != 2 {
			t.Errorf("what is still to come: %+v, %v", r, err)
		}
	})
}

// The history of a user has the sessions that touch the time asked for, the newest of them, in their order.
func TestHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := New(Config{DB: db, Node: "n1"})
		var ids []string
		for i := range int64(5) {
			ids = append(ids, past(t, db, stayed{"anna", "Anna", i * 1000, i*1000 + 500, Left}))
		}
		ids = append(ids, past(t, db, stayed{"anna", "Anna", 5000, 0, ""}))
		past(t, db, stayed{"bob", "Bob", 1000, 2000, Left})
		do(t, db, "UPDATE presence_sessions SET conference_id = 'other' WHERE id = ?", ids[2])
		for _, c := range []struct {
			q    HistoryQuery
			want []int
		}{
			{HistoryQuery{UserID: "anna"}, []int{0, 1, 2, 3, 4, 5}},
			{HistoryQuery{UserID: "anna", ConferenceID: "c", From: 1500, To: 3000}, []int{1, 3}},
			{HistoryQuery{UserID: "anna", From: 1501, To: 2999}, []int{2}},
			{HistoryQuery{UserID: "anna", From: 4600}, []int{5}},
			{HistoryQuery{UserID: "anna", Limit: 2}, []int{4, 5}},
			{HistoryQuery{UserID: "nobody"}, nil},
		} {
			var want, got []string
			for _, i := range c.want {
				want = append(want, ids[i])
			}
			list, err := p.History(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				got = append(got, r.ID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", c.q, diff)
			}
		}
		list, err := p.History(t.Context(), HistoryQuery{UserID: "anna", To: 1})
		if err != nil || len(list) != 1 || list[0].ClosedAt != 500 || list[0].Reason != Left || list[0].NodeID != "elsewhere" || list[0].OpenedAt.UnixMilli() != 0 {
			t.Errorf("first: %+v, %v", list, err)
		}
		if _, err := p.History(t.Context(), HistoryQuery{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("without a user: %v", err)
		}
	})
}

// Who is in his grace is told with its end, and who is not is not in the answer.
func TestReconnecting(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, func(p *Presence) { p.cfg.Grace = time.Minute })
		s, _ := n.open(t, "anna")
		n.open(t, "bob")
		n.Close(s, Lost)
		n.becomes(t, "anna", Reconnecting)
		do(t, db, "INSERT INTO presence (conference_id, user_id, state, since, arrived_at, offline_due_at) VALUES ('d', 'anna', 'reconnecting', 1, 1, 7000000000000)")
		due := ask(t, db, "SELECT offline_due_at FROM presence WHERE conference_id = 'c' AND user_id = 'anna'")
		for conf, want := range map[string]map[string]int64{"": {"anna": 7_000_000_000_000}, "c": {"anna": due}, "d": {"anna": 7_000_000_000_000}, "e": {}} {
			got, err := n.Reconnecting(t.Context(), []string{"anna", "bob", "nobody"}, conf)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("in %q (-want +got):\n%s%v", conf, diff, err)
			}
		}
	})
}

// The questions that are asked often, or of large tables, are answered by an index.
func TestHistoryUsesIndexes(t *testing.T) {
	for dialect, explain := range map[string]string{store.SQLite: "EXPLAIN QUERY PLAN ", store.MySQL: "EXPLAIN "} {
		db := storetest.Open(t, dialect)
		for i := range 40 {
			past(t, db, stayed{fmt.Sprintf("u%d", i), "", int64(i), int64(i + 1), Left})
			do(t, db, "INSERT INTO presence_bars (user_id, conference_id, until_at) VALUES (?, 'c', 1)", fmt.Sprintf("u%d", i))
		}
		for query, index := range map[string][]string{
			"SELECT id FROM presence_sessions WHERE conference_id = 'c' AND opened_at <= 3 ORDER BY opened_at, id":                                                               {"presence_sessions_history"},
			"SELECT * FROM presence_sessions WHERE user_id = 'u1' AND opened_at <= 9 AND (closed_at IS NULL OR closed_at >= 3) ORDER BY opened_at DESC":                          {"presence_sessions_user"},
			"SELECT id FROM presence_sessions WHERE closed_at < 5 ORDER BY closed_at LIMIT 500":                                                                                  {"presence_sessions_closed"},
			"SELECT COUNT(*) FROM presence_sessions WHERE node_id = 'n' AND closed_at IS NULL":                                                                                   {"presence_sessions_node", "presence_sessions_closed"},
			"SELECT COUNT(*) FROM presence_bars WHERE user_id = 'u1' AND conference_id IN ('', 'c') AND until_at > 1":                                                            {"PRIMARY", "sqlite_autoindex_presence_bars_1"},
			"SELECT * FROM presence_sessions WHERE user_id = 'u1' AND " + map[string]string{store.SQLite: "+"}[dialect] + "conference_id = 'c' ORDER BY opened_at DESC, id DESC": {"presence_sessions_user", "presence_sessions_open"},
		} {
			if plan := planOf(t, db, explain+query); !strings.Contains(plan, index[0]) && !strings.Contains(plan, index[len(index)-1]) {
				t.Errorf("%s: %s\n%s", dialect, query, plan)
			}
		}
	}
}

func planOf(t *testing.T, db *store.DB, query string) string {
	t.Helper()
	var rows []map[string]any
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Raw(query).Scan(&rows).Error })
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, r := range rows {
		if key, mysql := r["key"]; mysql {
			fmt.Fprintf(&out, "%s ", key)
		} else {
			fmt.Fprintf(&out, "%s\n", r["detail"])
		}
	}
	return out.String()
}
