package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

const anna, room = "anna", "42"

func open(db *store.DB, window time.Duration) *Notices {
	return New(Config{DB: db, Window: window, DetailMax: 3, Log: silent()})
}

// change records a change of Anna's presence and says at once what there is to say.
func change(t *testing.T, n *Notices, online bool, count int) []Announcement {
	t.Helper()
	record(t, n)
	return announce(t, n, Subject{ConferenceID: room, UserID: anna, UserName: "Anna", Online: online, Reason: "left", Count: count, At: 5})
}

func record(t *testing.T, n *Notices) {
	t.Helper()
	if err := n.Record(t.Context(), []Pending{{ConferenceID: room, UserID: anna}}); err != nil {
		t.Fatal(err)
	}
}

func announce(t *testing.T, n *Notices, s ...Subject) []Announcement {
	t.Helper()
	said, err := n.Announce(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// due waits until Anna must be looked at and returns her mark.
func due(t *testing.T, n *Notices) int64 {
	t.Helper()
	var found []Pending
	storetest.Eventually(t, func() bool {
		var err error
		if found, err = n.Due(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		return len(found) > 0
	}, "somebody is due")
	if len(found) != 1 || found[0].ConferenceID != room || found[0].UserID != anna || found[0].Mark == 0 {
		t.Fatalf("due: %+v", found)
	}
	return found[0].Mark
}

// log returns event, state, audience and sent of all rows, oldest first.
func log(t *testing.T, n *Notices) []string {
	t.Helper()
	var rows []string
	err := n.Each(t.Context(), Filter{}, func(e Entry) error {
		rows = append([]string{fmt.Sprintf("%s %s %d/%d", e.Event, e.State, e.Sent, e.Audience)}, rows...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func expect[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Anna comes, goes, and comes again within the window: the second coming is held back, logged once however often it is
// looked at, and told when the window is over.
func TestHeldBackThenTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, 2*time.Second)
		came := change(t, n, true, 2)
		if len(came) != 1 || came[0].Event != OnlineNotice || string(came[0].Message) != `{"conferenceId":"42","userId":"anna","userName":"Anna","at":5}` {
			t.Fatalf("came: %+v", came)
		}
		went := change(t, n, false, 1)
		if len(went) != 1 || string(went[0].Message) != `{"conferenceId":"42","userId":"anna","userName":"Anna","reason":"left","at":5}` {
			t.Fatalf("went: %+v", went)
		}
		record(t, n)
		back := Subject{ConferenceID: room, UserID: anna, Online: true, Count: 2}
		back.Mark = due(t, n)
		if said := announce(t, n, back, back); len(said) != 0 {
			t.Fatalf("said within the window: %+v", said)
		}
		if found, err := n.Due(t.Context(), 10); err != nil || len(found) != 0 {
			t.Fatalf("due within the window: %v, %v", found, err)
		}
		back.Mark = due(t, n)
		if said := announce(t, n, back); len(said) != 1 || said[0].Event != OnlineNotice || said[0].At == 0 {
			t.Fatalf("said after the window: %+v", said)
		}
		expect(t, log(t, n), []string{"online_notice sent 1/1", "offline_notice sent 1/1", "online_notice suppressed 0/1", "online_notice sent 1/1"})
		e, err := n.Get(t.Context(), came[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, e, Entry{ID: came[0].ID, ConferenceID: room, SenderID: anna, SenderName: "Anna", Actor: "system", Event: OnlineNotice, SendType: "1",
			Message: came[0].Message, Audience: 1, Sent: 1, Online: 2, State: Sent, CreatedAt: e.CreatedAt})
	})
}

// Each change that is held back has one row, a look that finds it still held back has none.
func TestEachSuppressionIsLoggedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		change(t, n, true, 2)
		change(t, n, false, 1)
		change(t, n, true, 2) // held back
		again := Subject{ConferenceID: room, UserID: anna, Online: true, Count: 2}
		announce(t, n, again)
		change(t, n, false, 1) // as last announced: nothing
		change(t, n, true, 2)  // held back again
		announce(t, n, again)
		expect(t, log(t, n), []string{"online_notice sent 1/1", "offline_notice sent 1/1", "online_notice suppressed 0/1", "online_notice suppressed 0/1"})
	})
}

// A process that dies between the commit of presence and the announcement leaves it to whoever comes next.
func TestAnnouncedAfterDeath(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		record(t, open(db, time.Minute))
		next := open(db, time.Minute)
		s := Subject{ConferenceID: room, UserID: anna, Online: true, Count: 1, Mark: due(t, next)}
		if said := announce(t, next, s); len(said) != 1 {
			t.Fatalf("said: %+v", said)
		}
		if found, err := next.Due(t.Context(), 10); err != nil || len(found) != 0 {
			t.Fatalf("still due: %v, %v", found, err)
		}
	})
}

// What presence rolls back was never to be announced.
func TestRecordRollsBackWithItsTransaction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		broken := errors.New("broken")
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := n.Record(ctx, []Pending{{ConferenceID: room, UserID: anna}}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if said := announce(t, n, Subject{ConferenceID: room, UserID: anna, Online: true, Count: 1}); len(said) != 0 {
			t.Fatalf("said: %+v", said)
		}
	})
}

// A sweep reads that Anna is online; before it announces that, she goes. What it read must not be the last word, and
// the window that it claimed in vain must not hold back her return.
func TestStaleTruthIsIgnored(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		record(t, n)
		stale := Subject{ConferenceID: room, UserID: anna, Online: true, Count: 1, Mark: due(t, n)}
		record(t, n) // she goes
		if said := announce(t, n, stale); len(said) != 0 {
			t.Fatalf("said: %+v", said)
		}
		if said := announce(t, n, Subject{ConferenceID: room, UserID: anna, Mark: due(t, n)}); len(said) != 0 {
			t.Fatalf("went, though nobody was told that she came: %+v", said)
		}
		if said := change(t, n, true, 1); len(said) != 1 {
			t.Fatalf("came: %+v", said)
		}
	})
}

// A late announcement of a coming that is over is made good by the sweep that follows it.
func TestLateAnnouncementIsMadeGood(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		record(t, n) // she comes
		record(t, n) // and goes
		if said := announce(t, n, Subject{ConferenceID: room, UserID: anna, Online: true, Count: 1}); len(said) != 1 {
			t.Fatalf("came: %+v", said)
		}
		if said := announce(t, n, Subject{ConferenceID: room, UserID: anna, Mark: due(t, n)}); len(said) != 1 || said[0].Event != OfflineNotice {
			t.Fatalf("went: %+v", said)
		}
	})
}

// A room above DetailMax is told nothing, uses up no window, and the log says so.
func TestLargeRoomIsSummarised(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		if said := change(t, n, true, 4); len(said) != 0 {
			t.Fatalf("said: %+v", said)
		}
		if said := change(t, n, false, 3); len(said) != 1 {
			t.Fatalf("went from a small room: %+v", said)
		}
		if said := change(t, n, true, 3); len(said) != 1 {
			t.Fatalf("came to a small room: %+v", said)
		}
		expect(t, log(t, n), []string{"online_notice summarised 0/3", "offline_notice sent 3/3", "online_notice sent 2/2"})
	})
}

// Two nodes announce the same 300 arrivals at the same instant, in opposite orders: each is said once.
func TestNodesDoNotDouble(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var pending []Pending
		var subjects [2][]Subject
		for i := range 300 {
			user := fmt.Sprint(i)
			pending = append(pending, Pending{ConferenceID: room, UserID: user})
			s := Subject{ConferenceID: room, UserID: user, Online: true, Count: 1}
			subjects[0], subjects[1] = append(subjects[0], s), append([]Subject{s}, subjects[1]...)
		}
		nodes := [2]*Notices{}
		client, prefix := storetest.Redis(t), storetest.Prefix(t)
		for i := range nodes {
			nodes[i] = New(Config{DB: db, Redis: client, Prefix: prefix, RedisTimeout: time.Second, Window: time.Minute, DetailMax: 3, Log: silent()})
		}
		if err := nodes[0].Record(t.Context(), pending); err != nil {
			t.Fatal(err)
		}
		before := db.Transactions()
		var mu sync.Mutex
		said := map[string]int{}
		var calls sync.WaitGroup
		for i := range nodes {
			calls.Go(func() {
				got, err := nodes[i].Announce(t.Context(), subjects[i], nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, a := range got {
					said[a.UserID]++
				}
			})
		}
		calls.Wait()
		for user, times := range said {
			if times != 1 {
				t.Errorf("%s was announced %d times", user, times)
			}
		}
		if len(said) != 300 || db.Transactions()-before != 2 {
			t.Errorf("%d of 300 announced in %d transactions", len(said), db.Transactions()-before)
		}
	})
}

// onLine returns a migrated MariaDB behind a line that can be cut.
func onLine(t *testing.T) (*store.DB, *storetest.Line) {
	t.Helper()
	c := storetest.DSN(t, store.MySQL)
	dsn, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	line := storetest.NewLine(t, dsn.Addr)
	dsn.Addr = line.Addr()
	c.DSN = dsn.FormatDSN()
	db := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), db.SQL(), store.MySQL); err != nil {
		t.Fatal(err)
	}
	return db, line
}

// While the database is away Announce fails as such; what was recorded is said when it is back.
func TestDatabaseAway(t *testing.T) {
	db, line := onLine(t)
	n := open(db, time.Minute)
	record(t, n)
	s := Subject{ConferenceID: room, UserID: anna, Online: true, Count: 1}
	line.Cut()
	if _, err := n.Announce(t.Context(), []Subject{s}, nil); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("error: %v", err)
	}
	line.Mend()
	s.Mark = due(t, n)
	if said := announce(t, n, s); len(said) != 1 {
		t.Fatalf("said: %+v", said)
	}
}

// Two changes of one user in one call: the later one counts.
func TestLastSubjectCounts(t *testing.T) {
	n := open(storetest.Open(t, store.SQLite), time.Minute)
	record(t, n)
	s := Subject{ConferenceID: room, UserID: anna, UserName: `"<&>` + "\n", Count: 1}
	online := s
	online.Online = true
	if said := announce(t, n, online, s); len(said) != 0 {
		t.Fatalf("said: %+v", said)
	}
	said := announce(t, n, s, online)
	if len(said) != 1 || !json.Valid(said[0].Message) {
		t.Fatalf("said: %+v", said)
	}
}
