package notice

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// 500 notices, to the user and to all, are counted exactly while they are read one by one, and none is doubled.
func TestInboxExact(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		for i := range 500 {
			e := to(anna, "8")
			if i%3 == 0 {
				e.ToAll, e.Deliveries = true, nil
			}
			e.Category = fmt.Sprint("c", i%5)
			post(t, n, Posting{Entry: e})
		}
		all := pages(t, n, whole(anna), InboxQuery{Limit: 200})
		seen := map[string]bool{}
		for i, l := range all {
			seen[l.ID] = true
			if i%10 == 0 {
				settle(t, n, Settlement{NoticeID: l.ID, UserID: anna, State: Read, At: 1})
			}
		}
		u, err := n.Unread(t.Context(), whole(anna))
		if err != nil || len(all) != 500 || len(seen) != 500 || u.Total != 450 || len(u.ByCategory) != 5 {
			t.Errorf("%d items, %d ids, %+v, %v", len(all), len(seen), u, err)
		}
		if changed, err := n.SettleAll(t.Context(), whole(anna), "", Settlement{State: Read, At: 1}, nil); err != nil || changed != 450 {
			t.Errorf("%d changed, %v", changed, err)
		}
		if unreadOf(t, n, anna) != 0 || unreadOf(t, n, "8") != 500 {
			t.Errorf("%d unread, of the other %d", unreadOf(t, n, anna), unreadOf(t, n, "8"))
		}
	})
}

// A page ends at its bytes, with one item at least, and the next goes on from there.
func TestInboxBytes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		for range 50 {
			e := to(anna)
			e.Message, e.Envelope = json.RawMessage(`"`+strings.Repeat("安", 300)+`"`), json.RawMessage(strings.Repeat(" ", 97)+"1")
			post(t, n, Posting{Entry: e})
		}
		for most, want := range map[int]int{0: 50, 1: 1, 999: 1, 2000: 2, 10_000: 10, 1_000_000: 50} {
			items, next, err := n.Inbox(t.Context(), whole(anna), InboxQuery{MaxBytes: most})
			if err != nil || len(items) != want || (next == "") != (want == 50) {
				t.Errorf("%d bytes: %d items, next %q, %v", most, len(items), next, err)
			}
		}
		if got := pages(t, n, whole(anna), InboxQuery{MaxBytes: 3500}); len(got) != 50 {
			t.Errorf("%d items in pages", len(got))
		}
		for _, cursor := range []string{"1", "安", "' OR 1=1 --"} {
			if _, _, err := n.Inbox(t.Context(), whole(anna), InboxQuery{Cursor: cursor}); fault.Of(err) == nil || fault.Of(err).Code != "bad_cursor" {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		if _, _, err := n.Inbox(t.Context(), whole(anna), InboxQuery{Category: "\xff"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("category: %v", err)
		}
	})
}

// A user is known since the service or the backend first wrote of him, and Known counts each once.
func TestKnown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		now := time.Now().UnixMilli()
		if _, err := db.SQL().Exec("INSERT INTO users (id, updated_at) VALUES ('old', ?), ('anna', ?)", now-10_000, now+10_000); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := n.Waiting(t.Context(), []string{"new", anna, "new"}); err != nil {
				t.Fatal(err)
			}
		}
		if known, err := n.Known(t.Context()); err != nil || known != 3 {
			t.Errorf("%d known, %v", known, err)
		}
		ended := post(t, n, Posting{Entry: Entry{Event: "notice", ToAll: true, Stored: true, SentAt: now - 9000, ExpiresAt: now - 5000}})
		for user, want := range map[string]int{"old": 1, anna: 0, "new": 0, "nobody": 0} {
			if got := pages(t, n, whole(user), InboxQuery{}); len(got) != want || unreadOf(t, n, user) != 0 {
				t.Errorf("%s sees %v, %d unread", user, got, unreadOf(t, n, user))
			}
		}
		if err := n.Expire(t.Context(), ended.ID); err != nil {
			t.Fatal(err)
		}
		if e, err := n.Get(t.Context(), ended.ID); err != nil || e.State != Expired {
			t.Errorf("state %s, %v", e.State, err)
		}
	})
}

// inboxStatements collects statements.
type inboxStatements struct {
	logger.Interface
	statements []string
}

func (s *inboxStatements) LogMode(logger.LogLevel) logger.Interface { return s }

func (s *inboxStatements) Trace(_ context.Context, _ time.Time, fc func() (string, int64), _ error) {
	sql, _ := fc()
	s.statements = append(s.statements, sql)
}

// In a large log, whatever is asked of an inbox is answered by an index, on both databases.
func TestInboxUsesIndexes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		running(t, n)
		fillInbox(t, n)
		s := &inboxStatements{Interface: logger.Discard}
		err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
			tx.Logger = s
			useInbox(t, ctx, n)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.statements) < 30 {
			t.Fatalf("%d statements were seen", len(s.statements))
		}
		for _, statement := range s.statements {
			if strings.HasPrefix(statement, "INSERT") {
				continue
			}
			if scan := wholeScan(t, db, statement); scan != "" {
				t.Errorf("%s\n%s", scan, statement)
			}
		}
		started := time.Now()
		_, err = n.SettleAll(t.Context(), whole(anna), "", Settlement{State: Read, At: 1}, nil)
		storetest.Show(t, "5,000 read at once in %v", time.Since(started).Round(time.Millisecond))
		if err != nil || unreadOf(t, n, anna) != 0 {
			t.Errorf("%d unread, %v", unreadOf(t, n, anna), err)
		}
	})
}

// fillInbox makes a log in which Anna has 5,000 unread, among others' and what is for all.
func fillInbox(t *testing.T, n *Notices) {
	var entries []Entry
	now := time.Now().UnixMilli()
	for i := range 10_000 {
		e := Entry{ID: at(now - 20_000 + int64(i)), Event: "notice", Category: "system", State: Sent, Stored: true, SentAt: now, RequireAck: i%100 == 0}
		for _, user := range []string{anna, "8"}[i%2:] {
			e.Deliveries = append(e.Deliveries, Delivery{UserID: user, State: Sent, At: 1})
		}
		if e.ToAll = i%200 == 7; e.ToAll {
			e.Deliveries = nil
		}
		entries = append(entries, e)
	}
	for part := range slices.Chunk(entries, 200) {
		put(t, n, part...)
	}
	var users []string
	for i := range 1000 {
		users = append(users, fmt.Sprint("user", i))
	}
	check(t, n.note(t.Context(), users))
	if n.db.Dialect() == store.MySQL {
		if _, err := n.db.SQL().Exec("ANALYZE TABLE notices, notice_deliveries, notice_readers"); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	if got := unreadOf(t, n, anna); got != 5050 {
		t.Errorf("%d unread", got)
	}
	storetest.Show(t, "5,050 unread counted in %v", time.Since(started).Round(time.Millisecond))
}

// useInbox asks everything that is asked often.
func useInbox(t *testing.T, ctx context.Context, n *Notices) {
	v := View{UserID: anna, ConferenceID: room, ClientType: "web"}
	items, _, err := n.Inbox(ctx, v, InboxQuery{Category: "system"})
	check(t, err)
	_, _, err = n.Inbox(ctx, v, InboxQuery{UnreadOnly: true, Cursor: items[10].ID})
	check(t, err)
	_, err = n.Unread(ctx, v)
	check(t, err)
	_, err = n.Unacked(ctx, v, 10)
	check(t, err)
	_, err = n.Waiting(ctx, []string{anna, "8", "9"})
	check(t, err)
	_, err = n.Reaches(ctx, v, []string{items[0].ID, items[1].ID})
	check(t, err)
	_, err = n.Settle(ctx, []Settlement{{NoticeID: items[0].ID, UserID: anna, State: Read, At: 1}, {NoticeID: items[1].ID, UserID: anna, State: Acked, At: 1}})
	check(t, err)
	_, err = n.TakeHeld(ctx, v)
	check(t, err)
	_, err = n.Take(ctx, Task{items[0].ID, TaskSend, 1})
	check(t, err)
	_, err = n.Tasks(ctx, 10)
	check(t, err)
	_, err = n.NextTask(ctx)
	check(t, err)
	_, err = n.Recipients(ctx, items[0].ID, "", 10)
	check(t, err)
	_, err = n.Unreached(ctx, items[0].ID)
	check(t, err)
	check(t, n.Expire(ctx, items[0].ID))
	check(t, n.MarkSent(ctx, items[0].ID, 1, 0))
	_, _, err = n.Recall(ctx, items[0].ID)
	check(t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// derived are tables that are not in the schema: the parts of a union, each of one row at most.
var derived = regexp.MustCompile(`^(SCAN (CONSTANT ROW|w|r)( |$)|.*<)`)

// wholeScan returns how a statement reads a whole table, "" if it does not.
func wholeScan(t *testing.T, db *store.DB, statement string) string {
	explain := "EXPLAIN "
	if db.Dialect() == store.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	var steps []map[string]any
	err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Raw(explain + statement).Scan(&steps).Error })
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	for _, step := range steps {
		text := fmt.Sprint(step["detail"])
		if db.Dialect() == store.MySQL {
			text = fmt.Sprintf("SCAN %s by %s, %s", step["table"], step["type"], step["key"])
			if step["type"] == nil || step["type"] != "ALL" && step["type"] != "index" {
				continue
			}
		}
		if strings.HasPrefix(text, "SCAN") && !derived.MatchString(text) {
			return text
		}
	}
	return ""
}
