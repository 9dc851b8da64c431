package conference

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The backend is told who comes and goes, in the order in which it happened, and when the last one is gone.
func TestBackendIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, yes := build(t, db, nil), true
		if err := b.presence.PutUsers(t.Context(), []presence.User{{ID: "anna", Name: "Anna"}}); err != nil {
			t.Fatal(err)
		}
		one := b.arrive(t, "anna", "42")
		two := b.arrive(t, "anna", "42") // her second device is no news
		ben := b.arrive(t, "ben", "42")
		b.Leave(one, presence.Left)
		b.Leave(two, presence.Lost) // reconnecting is no news either
		told := func(n int) []string {
			storetest.Eventually(t, func() bool { return len(b.told(t, "42")) >= n }, "the backend is not told")
			return b.told(t, "42")
		}
		told(3)
		b.Leave(ben, presence.Left)
		told(5)
		if _, err := b.Register(t.Context(), "42", Registration{Ended: &yes}); err != nil {
			t.Fatal(err)
		}
		want := []string{
			`presence.online {"online":1,"userId":"anna","userName":"Anna"}`,
			`presence.online {"online":2,"userId":"ben","userName":""}`,
			`presence.offline {"online":1,"reason":"lost","userId":"anna","userName":"Anna"}`,
			`presence.offline {"online":0,"reason":"left","userId":"ben","userName":""}`,
			`conference.empty {"online":0}`,
			`conference.ended {}`,
		}
		if got := told(len(want)); !slices.Equal(got, want) {
			t.Errorf("the backend is told\n%q, want\n%q", got, want)
		}
	})
}

// stateOf returns what is said of a user in conference 42.
func (b *built) stateOf(t *testing.T, user string) presence.State {
	t.Helper()
	return b.stateIn(t, "42", user)
}

func (b *built) stateIn(t *testing.T, conferenceID, user string) presence.State {
	t.Helper()
	who := [2]string{conferenceID, user}
	states, err := b.presence.StateOf(t.Context(), [][2]string{who})
	if err != nil {
		t.Fatal(err)
	}
	return states[who].State
}

// In one transaction one goes and another comes: the room was never empty, and a backend that closes empty meetings must
// not hear that it was.
func TestRoomIsNotEmptyInBetween(t *testing.T) {
	gone := presence.Change{ConferenceID: "42", UserID: "anna", From: presence.Online, To: presence.Offline, Reason: presence.Left}
	came := presence.Change{ConferenceID: "42", UserID: "ben", From: presence.Offline, To: presence.Online, Online: 1}
	elsewhere := gone
	elsewhere.ConferenceID = "43"
	for _, c := range []struct {
		changes []presence.Change
		want    []string
	}{
		{[]presence.Change{gone}, []string{"presence.offline 42", "conference.empty 42"}},
		{[]presence.Change{gone, came}, []string{"presence.offline 42", "presence.online 42"}},
		{[]presence.Change{gone, elsewhere, came}, []string{"presence.offline 42", "presence.offline 43", "conference.empty 43", "presence.online 42"}},
	} {
		var got []string
		for _, e := range comingsAndGoings(c.changes) {
			got = append(got, e.Type+" "+e.ConferenceID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
}

// While the database is away every look for what is due fails, five times a second, and each left a line in the log.
func TestTroubleIsToldOnce(t *testing.T) {
	var log strings.Builder
	db := storetest.Open(t, store.SQLite)
	h := &House{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	h.Notices = notice.New(notice.Config{DB: db, Window: time.Second, DetailMax: 200, Log: h.Log, Metrics: prometheus.NewRegistry()})
	c := newCrier(h)
	write(t, db, "ALTER TABLE notice_announcements RENAME TO away")
	for range 10 {
		c.sweep(t.Context())
	}
	if n := strings.Count(log.String(), "could not look for"); n != 1 {
		t.Errorf("%d lines: %s", n, &log)
	}
	write(t, db, "ALTER TABLE away RENAME TO notice_announcements")
	c.sweep(t.Context())
	write(t, db, "ALTER TABLE notice_announcements RENAME TO away")
	if c.sweep(t.Context()); strings.Count(log.String(), "could not look for") != 2 {
		t.Errorf("what fails anew is not told: %s", &log)
	}
}

func write(t *testing.T, db *store.DB, statement string) {
	t.Helper()
	if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
