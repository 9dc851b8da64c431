package notice

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// question is a filter by the name under which its time is shown.
type question struct {
	name string
	Filter
}

// questions are of one kind after the other.
func (m million) questions() (kinds []string, of map[string][]question) {
	deep := m.at(m.rows / 100)
	middle := m.time(m.rows / 2)
	kinds = []string{"first and deep pages", "one field", "several fields", "text search"}
	return kinds, map[string][]question{
		"first and deep pages": {
			{"first", Filter{}}, {"deep", Filter{Cursor: deep}}, {"of 200", Filter{Limit: 200}}, {"deep in a conference", Filter{ConferenceID: "hot", Cursor: deep}},
			{"deep of a recipient", Filter{RecipientID: "fan1", Cursor: deep}}, {"deep of two fields", Filter{RecipientID: "fan1", Category: "remind", Cursor: deep}}, {"of a time", Filter{From: middle, To: middle + 1000*millionPace}},
		},
		"one field": {
			{"conference", Filter{ConferenceID: "hot"}}, {"sender", Filter{SenderID: "boss"}}, {"recipient", Filter{RecipientID: "fan1"}}, {"event", Filter{Event: "vote"}}, {"category", Filter{Category: "remind"}},
			{"state", Filter{State: Suppressed}}, {"label", Filter{Label: "gold"}}, {"sendType", Filter{SendType: "2"}}, {"nobody's", Filter{RecipientID: "nobody"}}, {"of no event", Filter{Event: "none"}},
		},
		"several fields": {
			{"conference and event", Filter{ConferenceID: "hot", Event: "vote"}}, {"conference and event, none", Filter{ConferenceID: "hot", Event: "elsewhere"}},
			{"conference and state, none", Filter{ConferenceID: "hot", State: Suppressed}}, {"conference and label, few", Filter{ConferenceID: "hot", Label: "gold"}},
			{"sender and event, none", Filter{SenderID: "boss", Event: "elsewhere"}}, {"category and state, none", Filter{Category: "remind", State: Suppressed}},
			{"recipient and sender", Filter{RecipientID: "fan1", SenderID: "boss"}}, {"recipient and sender, none", Filter{RecipientID: "fan1", SenderID: "nobody"}},
			{"recipient and label, few", Filter{RecipientID: "fan1", Label: "gold"}}, {"recipient and event", Filter{RecipientID: "fan1", Event: "elsewhere"}},
			{"recipient, category and state, none", Filter{RecipientID: "fan1", Category: "remind", State: Suppressed}},
			{"recipient, conference and state, none", Filter{RecipientID: "fan1", ConferenceID: "hot", State: Suppressed}},
			{"conference and event in a time", Filter{ConferenceID: "hot", Event: "vote", From: middle, To: middle + 10*millionPace}},
		},
		"text search": {
			{"all, none", Filter{Q: "zzqz"}}, {"all, none that begins as many", Filter{Q: `the "Meeting x`}}, {"all, many", Filter{Q: "mEEting"}}, {"all, one", Filter{Q: "needle"}}, {"all, Chinese, none", Filter{Q: "会议x"}},
			{"conference, none", Filter{ConferenceID: "hot", Q: "zzqz"}}, {"sender, none", Filter{SenderID: "boss", Q: "zzqz"}}, {"state, none", Filter{State: Suppressed, Q: "zzqz"}}, {"recipient, none", Filter{RecipientID: "fan1", Q: "zzqz"}},
			{"recipient and label", Filter{RecipientID: "fan1", Label: "gold", Q: "NOTICE"}}, {"recipient and event, none", Filter{RecipientID: "fan1", Event: "elsewhere", Q: "zzqz"}},
			{"conference and state, none", Filter{ConferenceID: "hot", State: Suppressed, Q: "zzqz"}}, {"category and sendType, none", Filter{Category: "remind", SendType: "2", Q: "zzqz"}},
		},
	}
}

// wants is what each filter should find, told in the simplest way.
func (f Filter) wants(e Entry) bool {
	for _, c := range [][2]string{{f.ConferenceID, e.ConferenceID}, {f.SenderID, e.SenderID}, {f.Event, e.Event}, {f.Category, e.Category}, {f.State, e.State}, {f.Label, e.Label}, {f.SendType, e.SendType}} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	if f.RecipientID != "" && !slices.ContainsFunc(e.Deliveries, func(d Delivery) bool { return d.UserID == f.RecipientID }) {
		return false
	}
	if f.From > e.CreatedAt || f.To != 0 && f.To < e.CreatedAt || f.Cursor != "" && e.ID >= f.Cursor {
		return false
	}
	text := strings.ToLower(string(e.Message) + "\n" + e.SenderName + "\n" + e.Label)
	return strings.Contains(text, strings.ToLower(f.Q))
}

// A log of 1,000,000 rows answers every kind of question by its indexes, and rightly, and is exported without being held
// in memory.
func TestMillionRows(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	n := open(db, time.Minute)
	m := million{storetest.Size(1_000_000, 20_000)}
	m.fill(t, db)
	few := m.middle()
	kinds, questions := m.questions()
	for _, kind := range kinds {
		var medians []string
		for _, q := range questions[kind] {
			m.compare(t, n, q, few)
			explain(t, n, q)
			took, found := medianOf(t, func() int {
				items, _, err := n.Find(t.Context(), q.Filter)
				if err != nil {
					t.Fatalf("%s: %v", q.name, err)
				}
				return len(items)
			})
			medians = append(medians, fmt.Sprintf("%s %v (%d)", q.name, took, found))
		}
		storetest.Show(t, "%d rows in the log, median times (and rows) of a page; %s: %s", m.rows, kind, strings.Join(medians, ", "))
	}
	chat, _ := medianOf(t, func() int {
		if _, _, err := n.ChatHistory(t.Context(), "hot", m.at(m.rows/2), 0); err != nil {
			t.Fatal(err)
		}
		return 0
	})
	storetest.Show(t, "a page of the chat of a conference with %d rows: %v", m.rows/2, chat)
	m.export(t, n)
	m.trim(t, n)
}

// medianOf returns the median time of nine calls, in a short run of three, and what the last one returned.
func medianOf(t *testing.T, call func() int) (took time.Duration, last int) {
	t.Helper()
	var all []time.Duration
	for range storetest.Size(9, 3) {
		begin := time.Now()
		last = call()
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	return all[len(all)/2].Round(100 * time.Microsecond), last
}

// middle makes a thousand rows in the middle again, newest first.
func (m million) middle() (few []Entry) {
	half := min(500, m.rows/2)
	for i := m.rows/2 + half - 1; i >= m.rows/2-half; i-- {
		few = append(few, m.entry(i))
	}
	return few
}

// compare follows all pages of a question over a few rows, and expects what a loop finds.
func (m million) compare(t *testing.T, n *Notices, q question, few []Entry) {
	t.Helper()
	f := q.Filter
	if f.Cursor != "" {
		f.Cursor = m.at(m.rows / 2)
	}
	f.From, f.To = max(f.From, few[len(few)-1].CreatedAt), few[0].CreatedAt
	if q.To != 0 {
		f.To = min(f.To, q.To)
	}
	var want, got []string
	for _, e := range few {
		if f.wants(e) {
			want = append(want, e.ID)
		}
	}
	if err := n.Each(t.Context(), f, func(e Entry) error { got = append(got, e.ID); return nil }); err != nil {
		t.Fatalf("%s: %v", q.name, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d rows, want %d, or others", q.name, len(got), len(want))
	}
}

// witness is a logger that keeps the statements.
type witness struct {
	logger.Interface
	statements *[]string
}

func (s witness) Trace(_ context.Context, _ time.Time, fc func() (string, int64), _ error) {
	text, _ := fc()
	*s.statements = append(*s.statements, text)
}

// explain asks MariaDB how it answers each statement of a question: none reads a whole table, or sorts.
func explain(t *testing.T, n *Notices, q question) {
	t.Helper()
	var statements []string
	err := n.db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		seen := tx.Session(&gorm.Session{Logger: witness{logger.Discard, &statements}})
		w, err := n.walk(seen, q.Filter)
		if err != nil {
			return err
		}
		if _, _, err = n.page(seen, w, q.Filter); err != nil {
			return err
		}
		for _, s := range statements {
			var steps []struct{ Table, Type, Key, Extra string }
			if err := tx.Raw("EXPLAIN " + s).Scan(&steps).Error; err != nil {
				return err
			}
			for _, step := range steps {
				ours := step.Table != "" && !strings.HasPrefix(step.Table, "<") // not a result of another step
				if ours && (step.Type == "ALL" || step.Key == "" || strings.Contains(step.Extra, "filesort") || strings.Contains(step.Extra, "temporary")) {
					t.Errorf("%s: %+v\n%.500s", q.name, step, s)
				}
			}
		}
		return nil
	})
	if err != nil || len(statements) == 0 {
		t.Fatalf("%s: %d statements, %v", q.name, len(statements), err)
	}
}

// export reads the whole log and looks at the heap on the way.
func (m million) export(t *testing.T, n *Notices) {
	t.Helper()
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapInuse >> 20
	}
	runtime.GC()
	before, most, rows, begin := heap(), uint64(0), 0, time.Now()
	err := n.Each(t.Context(), Filter{}, func(Entry) error {
		if rows++; rows%1000 == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || rows != m.rows {
		t.Fatalf("%d rows, %v", rows, err)
	}
	storetest.Show(t, "export of %d rows in %v: %d MiB of heap before, at most %d MiB on the way", rows, time.Since(begin).Round(100*time.Millisecond), before, most)
	if most > before+64 {
		t.Errorf("an export needs %d MiB of heap", most-before)
	}
}

// trim deletes a fiftieth of the log while others write to it.
func (m million) trim(t *testing.T, n *Notices) {
	t.Helper()
	old := m.rows / 50
	n.retention, n.now = time.Hour, func() int64 { return m.time(old) + time.Hour.Milliseconds() }
	var slowest time.Duration
	trimmed := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for ctx := t.Context(); ; {
			begin := time.Now()
			if err := n.Append(ctx, []Entry{{Event: "late", State: Sent}}); err != nil {
				t.Error(err)
			}
			slowest = max(slowest, time.Since(begin))
			select {
			case <-trimmed:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	begin := time.Now()
	if err := n.trim(t.Context()); err != nil {
		t.Error(err)
	}
	took := time.Since(begin)
	close(trimmed)
	writing.Wait()
	oldest := ""
	if err := n.Each(t.Context(), Filter{To: m.time(old + 10)}, func(e Entry) error { oldest = e.ID; return nil }); err != nil || oldest != m.at(old) {
		t.Errorf("the oldest row is %s, want %s; %v", oldest, m.at(old), err)
	}
	storetest.Show(t, "retention: %d notices with their deliveries deleted in %v; the slowest row written meanwhile took %v", old, took.Round(100*time.Millisecond), slowest.Round(time.Millisecond))
}
