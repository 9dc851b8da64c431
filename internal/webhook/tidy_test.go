package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// filled is the number of events that fill inserts: more than a batch.
const filled = 60

// fill inserts events of a lane, each with an id of the time.
func fill(t testing.TB, db *store.DB, l lane, state string, at time.Time) {
	t.Helper()
	list := make([]outboxRow, filled)
	for i := range list {
		suffix := id.New()
		list[i] = outboxRow{
			ID: id.Floor(at)[:10] + suffix[10:], Endpoint: l.endpoint, URL: "http://x.example", ConferenceID: l.conference, Seq: int64(i + 1), Type: "t", Body: "{}",
			State: state, CreatedAt: at.UnixMilli(),
		}
	}
	err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return insertRows(tx, list) })
	if err != nil {
		t.Fatal(err)
	}
}

// Old events go, in batches, younger and pending ones stay; without a retention dead ones stay for ever.
func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const day = 24 * time.Hour
		n := newNode(t, db, Endpoint{URL: "http://x.example"})
		n.pace.trimPause, n.pace.trimBatch = time.Millisecond, 50
		for i, age := range []time.Duration{time.Hour, 6 * day, 8 * day, 40 * day} {
			for _, state := range []string{pending, sent, dead} {
				fill(t, db, lane{n.endpoints[0].key, fmt.Sprint(i, state)}, state, time.Now().Add(-age))
			}
		}
		left := func() (list []string) {
			count := map[string]int{}
			for _, r := range rows(t, db) {
				count[r.ConferenceID]++
			}
			for name, n := range count {
				if n != filled {
					t.Errorf("%d of %s are left", n, name)
				}
				list = append(list, name)
			}
			slices.Sort(list)
			return list
		}
		for _, c := range []struct {
			retention time.Duration
			want      string
		}{
			{0, "0dead 0pending 0sent 1dead 1pending 1sent 2dead 2pending 3dead 3pending"},
			{30 * day, "0dead 0pending 0sent 1dead 1pending 1sent 2dead 2pending 3pending"},
			{2 * day, "0dead 0pending 0sent 1pending 2pending 3pending"},
		} {
			n.retention = c.retention
			n.trim(t.Context())
			if got := strings.Join(left(), " "); got != c.want {
				t.Errorf("retention %v leaves %s, want %s", c.retention, got, c.want)
			}
		}
		n.count(t.Context())
		if got := n.metrics.waiting.Load(); got != 4*filled {
			t.Errorf("%d are pending", got)
		}
		if got, want := n.metrics.age(), (40 * day).Seconds(); got < want || got > want+60 {
			t.Errorf("the oldest has waited for %v s, want %v", got, want)
		}
	})
}

// What waits for an endpoint that nobody has served for a day is given up, what is younger is not; a replay gives it one
// more day.
func TestOrphans(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		former := newNode(t, db, Endpoint{URL: "http://former.example"})
		n := newNode(t, db, Endpoint{URL: "http://x.example"})
		n.pace.trimPause, n.pace.trimBatch = time.Millisecond, 50
		key, old := former.endpoints[0].key, time.Now().Add(-25*time.Hour)
		for _, l := range []lane{{key, "old"}, {key, "mixed"}, {key, "served"}, {n.endpoints[0].key, "ours"}} {
			fill(t, db, l, pending, old)
			exec(t, db, "INSERT INTO webhook_lanes (endpoint, conference_id, seq, due_at) VALUES (?, ?, 61, ?)", l.endpoint, l.conference, free(old.UnixMilli()))
		}
		exec(t, db, "UPDATE webhook_lanes SET due_at = ? WHERE conference_id = 'served'", free(time.Now().Add(time.Minute).UnixMilli()))
		exec(t, db, "UPDATE webhook_outbox SET seq = 61, created_at = ? WHERE conference_id = 'mixed' AND seq = 60", time.Now().UnixMilli())
		check := func(when string, want map[string]int) {
			t.Helper()
			got := map[string]int{}
			for _, r := range rows(t, db) {
				if r.State == pending {
					got[r.ConferenceID]++
				}
			}
			for _, c := range []string{"old", "mixed", "served", "ours"} {
				if got[c] != want[c] {
					t.Errorf("%s: %d of %s are pending, want %d", when, got[c], c, want[c])
				}
			}
		}
		n.trim(t.Context())
		check("after a day", map[string]int{"mixed": 1, "served": 60, "ours": 60})
		var lanes []laneRow
		if err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Order("conference_id").Find(&lanes).Error }); err != nil {
			t.Fatal(err)
		}
		if lanes[1].ConferenceID != "old" || lanes[1].DueAt != nil || lanes[0].DueAt == nil || isOld(*lanes[0].DueAt) {
			t.Errorf("lanes %+v", lanes)
		}
		for _, r := range rows(t, db) {
			if r.ConferenceID == "old" && r.Seq == 7 {
				if err := n.Replay(t.Context(), r.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		n.trim(t.Context())
		check("after a replay", map[string]int{"old": 1, "mixed": 1, "served": 60, "ours": 60})
	})
}

func isOld(ms int64) bool { return time.Since(time.UnixMilli(ms)) > time.Hour }

// Pages by state, newest first; what is no state, cursor or id is refused.
func TestList(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example/hook?token=hush"})
		for i := range 25 {
			n.append(t, fmt.Sprint(i%2), nil)
		}
		exec(t, db, "UPDATE webhook_outbox SET state = 'dead', body = 'broken' WHERE conference_id = '1'")
		for state, want := range map[string]int{"": 25, pending: 13, dead: 12, sent: 0} {
			var ids []string
			for cursor, more := "", true; more; more = cursor != "" {
				items, next, err := n.List(t.Context(), state, cursor, 4)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range items {
					ids = append(ids, d.ID)
					if state != "" && d.State != state || (d.Body == nil) != (d.State == dead) || d.URL != "http://x.example/hook" || d.FirstAt != nil || d.Type != "presence.online" {
						t.Errorf("%q lists %+v", state, d)
					}
				}
				cursor = next
			}
			if len(ids) != want || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
				t.Errorf("%q lists %d, want %d, newest first", state, len(ids), want)
			}
		}
		for _, bad := range []string{"1", "' OR 1=1 --", "iiiiiiiiiiiiiiiiiiiiiiiiii", strings.Repeat("安", 26)} {
			if _, _, err := n.List(t.Context(), "", bad, 0); fault.Of(err) == nil || fault.Of(err).Code != "bad_cursor" {
				t.Errorf("cursor %q: %v", bad, err)
			}
			if err := n.Replay(t.Context(), bad); !fault.Is(err, fault.NotFound) {
				t.Errorf("replay of %q: %v", bad, err)
			}
		}
		if _, _, err := n.List(t.Context(), "lost", "", 0); !fault.Is(err, fault.Invalid) {
			t.Errorf("an unknown state: %v", err)
		}
		if err := n.Replay(t.Context(), id.New()); !fault.Is(err, fault.NotFound) {
			t.Errorf("replay of an unknown id: %v", err)
		}
	})
}

// Everything that is asked often is found by an index, with many idle lanes and sent events around it.
func TestQueriesUseAnIndex(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := newNode(t, db, Endpoint{URL: "http://x.example"})
		key := n.endpoints[0].key
		events := make([]Event, map[string]int{store.SQLite: 1000, store.MySQL: 10_000}[db.Dialect()])
		for i := range events {
			events[i] = Event{Type: "t", ConferenceID: fmt.Sprint("c", i)}
		}
		for part := range slices.Chunk(events, 2000) {
			if err := n.Append(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, db, "UPDATE webhook_outbox SET state = 'sent' WHERE seq = 1 AND conference_id NOT LIKE '%7'")
		exec(t, db, "UPDATE webhook_lanes SET due_at = NULL WHERE conference_id NOT LIKE '%77'")
		if db.Dialect() == store.MySQL {
			exec(t, db, "ANALYZE TABLE webhook_lanes, webhook_outbox")
		}
		old := time.Now().Add(time.Hour)
		for name, q := range map[string]struct {
			index string
			query func(tx *gorm.DB) *gorm.DB
		}{
			"due":    {"webhook_lanes_due", func(tx *gorm.DB) *gorm.DB { return dueQuery(tx, []string{key}).Limit(8).Find(&[]laneRow{}) }},
			"orphan": {"webhook_lanes_due", func(tx *gorm.DB) *gorm.DB { return n.orphanQuery(tx, old.UnixMilli()).Limit(50).Find(&[]laneRow{}) }},
			"head": {"webhook_outbox_lane", func(tx *gorm.DB) *gorm.DB {
				return tx.Where("endpoint = ? AND conference_id = ? AND state = ?", key, "c7", pending).Order("seq").Limit(1).Find(&[]outboxRow{})
			}},
			"list": {"webhook_outbox_state", func(tx *gorm.DB) *gorm.DB {
				return listQuery(tx, pending, id.Floor(old)).Limit(51).Find(&[]outboxRow{})
			}},
			"trim":   {"webhook_outbox_state", func(tx *gorm.DB) *gorm.DB { return oldQuery(tx, sent, old).Limit(500).Find(&[]outboxRow{}) }},
			"count":  {"webhook_outbox_state", func(tx *gorm.DB) *gorm.DB { return tx.Raw(countSQL, pending, countMax).Find(&[]int64{}) }},
			"oldest": {"webhook_outbox_state", func(tx *gorm.DB) *gorm.DB { return tx.Raw(oldestSQL, pending).Find(&[]int64{}) }},
		} {
			if plan := explain(t, db, q.query); !strings.Contains(plan, q.index) {
				t.Errorf("%s: %s", name, plan)
			}
		}
	})
}

// explain returns the plan of a query, in the words of the database.
func explain(t *testing.T, db *store.DB, query func(tx *gorm.DB) *gorm.DB) (plan string) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		s := query(tx.Session(&gorm.Session{DryRun: true})).Statement
		word := "EXPLAIN "
		if tx.Name() == store.SQLite {
			word = "EXPLAIN QUERY PLAN "
		}
		var lines []map[string]any
		if err := tx.Raw(word+s.SQL.String(), s.Vars...).Scan(&lines).Error; err != nil {
			return err
		}
		for _, line := range lines {
			delete(line, "possible_keys")
			for k, v := range line {
				if b, ok := v.([]byte); ok {
					line[k] = string(b)
				}
			}
			plan += fmt.Sprint(line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
