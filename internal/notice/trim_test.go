package notice

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// trimNow is when the tests of this file play, in milliseconds since 1970; the log is kept for an hour.
const (
	trimNow  = int64(1_700_000_000_000)
	trimHour = int64(60 * 60 * 1000)
)

// openTrimming returns Notices that keep the log for an hour, at trimNow.
func openTrimming(db *store.DB) *Notices {
	n := New(Config{DB: db, Window: time.Minute, Retention: time.Hour, Log: silent()})
	n.now = func() int64 { return trimNow }
	return n
}

func run(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.SQL().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// column returns the values of a column that are left, joined.
func column(t *testing.T, db *store.DB, table, name string) string {
	t.Helper()
	var values []string
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Table(table).Order(name).Distinct().Pluck(name, &values).Error
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(values, " ")
}

// What is older than the retention goes, to the millisecond, with all that belongs to it, also what a round that was
// cut short left without its notice; what is younger or still to be sent stays whole.
func TestTrimByAge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := openTrimming(db)
		first, last, kept, ahead, orphan := at(0), at(trimNow-trimHour-1), at(trimNow-trimHour), at(trimNow+trimHour), at(5)
		for _, noticeID := range []string{first, last, kept, ahead} {
			put(t, n, Entry{ID: noticeID, Event: "vote", State: Sent, Deliveries: []Delivery{{UserID: "a", State: Sent}, {UserID: "b", State: Sent}}})
			run(t, db, "INSERT INTO notice_due (notice_id, kind, due_at) VALUES ('"+noticeID+"', 'send', 1), ('"+noticeID+"', 'expire', 2)")
		}
		run(t, db, "INSERT INTO notice_deliveries (notice_id, user_id, state, at) VALUES ('"+orphan+"', 'a', 'sent', 1)")
		if err := n.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		for table, name := range map[string]string{"notices": "id", "notice_deliveries": "notice_id", "notice_due": "notice_id"} {
			if got, want := column(t, db, table, name), kept+" "+ahead; got != want {
				t.Errorf("%s keeps %q, want %q", table, got, want)
			}
		}
		for _, noticeID := range []string{kept, ahead} {
			if got, _, err := n.Deliveries(t.Context(), noticeID, "", 0); err != nil || len(got) != 2 {
				t.Errorf("%s has %d deliveries, %v", noticeID, len(got), err)
			}
		}
	})
}

// Without a retention the log is kept for ever; old numbers of clients go all the same.
func TestTrimWithoutRetention(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := openTrimming(db)
		n.retention = 0
		put(t, n, Entry{ID: at(0), Event: "vote", State: Sent, Deliveries: []Delivery{{UserID: "a", State: Sent}}})
		run(t, db,
			fmt.Sprintf("INSERT INTO notice_client_messages (sender_id, client_msg_id, notice_id, created_at) VALUES ('a', '1', '', %d), ('b', '2', '', %d), ('a', '3', '', 0)", trimNow-24*trimHour+1, trimNow-24*trimHour))
		if err := n.trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range [][3]string{{"notices", "id", at(0)}, {"notice_deliveries", "user_id", "a"}, {"notice_client_messages", "client_msg_id", "1"}} {
			if got := column(t, db, c[0], c[1]); got != c[2] {
				t.Errorf("%s keeps %q, want %q", c[0], got, c[2])
			}
		}
	})
}

// After a long time without trimming, and with one notice that went to very many, each transaction is small all the
// same, and two nodes that trim at once do not stop each other.
func TestTrimInSmallSteps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := openTrimming(db)
		const old = 1300
		var entries []Entry
		for i := range old {
			entries = append(entries, Entry{ID: at(int64(i)), Event: "vote", State: Sent, Deliveries: []Delivery{{UserID: "a", State: Sent}}})
		}
		for i := range old {
			entries[700].Deliveries = append(entries[700].Deliveries, Delivery{UserID: fmt.Sprint("u", i), State: Sent})
		}
		put(t, n, entries...)
		var numbers strings.Builder
		for i := range old {
			fmt.Fprintf(&numbers, ",('a', '%d', '', 0)", i)
		}
		run(t, db, "INSERT INTO notice_client_messages (sender_id, client_msg_id, notice_id, created_at) VALUES "+numbers.String()[1:])
		before := db.Transactions()
		var nodes sync.WaitGroup
		for range 2 {
			nodes.Go(func() {
				if err := n.trim(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()
		if least := int64(old/trimBatch + 2*old/trimBatch + old/rowBatch); db.Transactions()-before < least {
			t.Errorf("%d transactions, want at least %d", db.Transactions()-before, least)
		}
		for table, name := range map[string]string{"notices": "id", "notice_deliveries": "user_id", "notice_client_messages": "client_msg_id"} {
			if got := column(t, db, table, name); got != "" {
				t.Errorf("%s keeps %.100s", table, got)
			}
		}
	})
}

// What a round that was cut short began, the next one ends.
func TestTrimIsCutShort(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := openTrimming(db)
		var entries []Entry
		for i := range 2 * trimBatch {
			entries = append(entries, Entry{ID: at(int64(i)), Event: "vote", State: Sent, Deliveries: []Delivery{{UserID: "a", State: Sent}}})
		}
		put(t, n, entries...)
		ctx, cancel := context.WithCancel(t.Context())
		running := make(chan error, 1)
		go func() { running <- n.trim(ctx) }()
		storetest.Eventually(t, func() bool { return len(labels(t, n, Filter{To: 1})) == 0 }, "the oldest notices go")
		cancel()
		<-running
		if err := n.trim(t.Context()); err != nil || column(t, db, "notices", "id")+column(t, db, "notice_deliveries", "notice_id") != "" {
			t.Errorf("the next round leaves something: %v", err)
		}
	})
}

// Run trims, and goes on when a round fails or panics.
func TestRunTrims(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := openTrimming(db)
		n.firstTrim = time.Millisecond
		put(t, n, Entry{ID: at(0), Event: "vote", State: Sent}, Entry{ID: id.New(), Event: "vote", State: Sent})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = n.Run(ctx) })
		storetest.Eventually(t, func() bool { return !strings.Contains(column(t, db, "notices", "id"), at(0)) }, "the old notice goes")
		cancel()
		running.Wait()
		n.now = func() int64 { panic("no clock") }
		soon, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer end()
		if err := n.Trim(soon); err != nil {
			t.Errorf("a panic while trimming: %v", err)
		}
	})
}
