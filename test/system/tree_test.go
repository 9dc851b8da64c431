package system_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// tree is what the tests read of a note_tree.
type tree struct {
	Version  int64
	HeadData struct{ OnLineNumber int }
}

// Eight backends patch while people come and go: nobody may ever see an older tree than he has seen.
func TestVersionsNeverGoBack(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, settings{"presence.grace": "500ms"})
		watchers := make([]*wire, 10)
		for i := range watchers {
			w, err := join(s.base, fmt.Sprintf("watcher%d", i), "42")
			if err != nil {
				t.Fatal(err)
			}
			defer w.leave()
			watchers[i] = w
		}
		var (
			all     sync.WaitGroup
			highest atomic.Int64
			patches = storetest.Size(100, 15)
		)
		for caller := range 8 {
			all.Go(func() {
				mine := int64(0)
				for i := range patches {
					var done struct {
						Version int64
						Changed []string
					}
					s.must("PATCH", "/api/v1/conferences/42/tree", fmt.Sprintf(`{"topicInfo":{"caller%d":%d}}`, caller, i), &done)
					if done.Version <= mine {
						t.Errorf("caller %d was answered %d after %d", caller, done.Version, mine)
					}
					mine = done.Version
					for old := highest.Load(); old < mine && !highest.CompareAndSwap(old, mine); old = highest.Load() {
					}
				}
			})
		}
		for g := range 4 {
			all.Go(func() {
				for i := range patches / 3 {
					w, err := join(s.base, fmt.Sprintf("guest%d-%d", g, i%5), "42")
					if err != nil {
						t.Error(err)
						return
					}
					if rand.IntN(2) == 0 {
						w.leave()
					} else {
						w.vanish()
					}
				}
			})
		}
		all.Wait()
		for i, w := range watchers {
			if !w.wait(20*time.Second, func() bool { return w.version >= highest.Load() && w.online == len(watchers) }) {
				t.Fatalf("watcher %d stays at version %d with %d online, the newest is %d", i, w.version, w.online, highest.Load())
			}
		}
		var topic struct{ TopicInfo map[string]int }
		s.must("GET", "/api/v1/conferences/42/tree", nil, &topic)
		for caller := range 8 {
			if got := topic.TopicInfo["caller"+strconv.Itoa(caller)]; got != patches-1 {
				t.Errorf("the last patch of caller %d left %d, want %d: an update was lost", caller, got, patches-1)
			}
		}
		back := 0
		for _, w := range watchers {
			w.mu.Lock()
			back += w.backwards
			w.mu.Unlock()
		}
		storetest.Show(t, "%d versions that went back at %d clients under %d patches from 8 callers and %d joins and leaves; no patch lost", back, len(watchers), 8*patches, 4*(patches/3))
		if back > 0 {
			t.Errorf("versions went back %d times", back)
		}
	})
}

// storetestEach runs f for both databases.
func storetestEach(t *testing.T, f func(t *testing.T, dialect string)) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		t.Run(dialect, func(t *testing.T) { f(t, dialect) })
	}
}

// If-Match guards content, not people; ETag saves the way; equal POSTs make one effect.
func TestConditionsAndIdempotency(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, nil)
		var first struct{ Version int64 }
		s.must("PATCH", "/api/v1/conferences/7/tree", `{"topicInfo":{"a":1}}`, &first)
		w, err := join(s.base, "anna", "7")
		if err != nil {
			t.Fatal(err)
		}
		defer w.leave()
		if !w.wait(10*time.Second, func() bool { return w.online == 1 && w.version > first.Version }) {
			t.Fatal("the arrival did not raise the version")
		}
		match := strconv.Quote(strconv.FormatInt(first.Version, 10))
		if status, _ := s.call("PATCH", "/api/v1/conferences/7/tree", `{"topicInfo":{"a":2}}`, nil, "If-Match", match); status != 200 {
			t.Errorf("a patch was refused with %d although only people had changed", status)
		}
		var problem struct{ Code string }
		if status, _ := s.call("PATCH", "/api/v1/conferences/7/tree", `{"topicInfo":{"a":3}}`, &problem, "If-Match", match); status != 412 {
			t.Errorf("an outdated patch was answered %d %v, want 412", status, problem)
		}
		var now tree
		_, h := s.call("GET", "/api/v1/conferences/7/tree", nil, &now)
		if status, _ := s.call("GET", "/api/v1/conferences/7/tree", nil, nil, "If-None-Match", h.Get("ETag")); status != 304 {
			t.Errorf("an unchanged tree was answered %d, want 304", status)
		}
		const parallelPosts = 50
		statuses := make(chan int, parallelPosts)
		bodies := make(chan string, parallelPosts)
		parallel(parallelPosts, parallelPosts, func(int) {
			var raw string
			status, _ := s.call("POST", "/api/v1/push", `{"sendUserId":"b","userIds":["anna"],"message":{"n":1},"destination":"hello","conferenceId":7}`, &raw, "Idempotency-Key", "k1")
			statuses <- status
			if status == 202 {
				bodies <- raw
			}
		})
		close(statuses)
		close(bodies)
		counts, answers := map[int]int{}, map[string]int{}
		for c := range statuses {
			counts[c]++
		}
		for b := range bodies {
			answers[b]++
		}
		if len(answers) != 1 || counts[202]+counts[409] != parallelPosts {
			t.Errorf("equal posts were answered %v with %v", counts, answers)
		}
		if !w.wait(10*time.Second, func() bool { return w.count["hello"] > 0 }) {
			t.Error("the push did not arrive")
		}
		var log struct{ Items []struct{ Event string } }
		s.must("GET", "/api/v1/notices?event=hello", nil, &log)
		if len(log.Items) != 1 {
			t.Errorf("%d equal posts left %d log rows", parallelPosts, len(log.Items))
		}
		storetest.Show(t, "If-Match, ETag and %d parallel equal posts: %v, %d effect", parallelPosts, counts, len(log.Items))
	})
}

// Backends write the tree row themselves: they say so, or they forget to; and what they write is not always JSON.
func TestRowsWrittenByOthers(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, nil)
		w, err := join(s.base, "anna", "9")
		if err != nil {
			t.Fatal(err)
		}
		defer w.leave()
		if !w.wait(10*time.Second, func() bool { return w.online == 1 }) {
			t.Fatal("no tree")
		}
		db := s.pool()
		write := func(column, value string) {
			t.Helper()
			storetest.Eventually(t, func() bool { // the service may make the row in between
				res, err := db.Exec("UPDATE conference_nodes SET "+column+" = ? WHERE conference_id = '9'", value)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := res.RowsAffected(); n > 0 && err == nil {
					return true
				}
				_, err = db.Exec("INSERT INTO conference_nodes (conference_id, "+column+") VALUES ('9', ?)", value)
				return err == nil
			}, "the row cannot be written")
		}
		section := func(name string) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			var sections map[string]json.RawMessage
			_ = json.Unmarshal(w.last["note_tree"], &sections)
			return string(sections[name])
		}
		shows := func(name, want string, most time.Duration) time.Duration {
			t.Helper()
			begin := time.Now()
			storetest.EventuallyWithin(t, most, func() bool { return section(name) == want }, "the tree does not show "+name+" = "+want)
			return time.Since(begin)
		}
		write("conference_content", `{"id":1234567890123456789}`)
		s.must("POST", "/api/v1/conferences/9/tree/push", nil, nil)
		shows("conferenceInfo", `{"id":1234567890123456789}`, 5*time.Second)
		write("topic_content", `{"forgotten":true}`)
		noticed := shows("topicInfo", `{"forgotten":true}`, 6*time.Second)
		write("conference_content", "{\"text\":\"tab\there\nand a line\"}")
		s.must("POST", "/api/v1/conferences/9/tree/push", nil, nil)
		shows("conferenceInfo", `{"text":"tab\u0009here\u000aand a line"}`, 5*time.Second)
		write("timer", `{"broken":`)
		write("conference_status", `1`)
		s.must("POST", "/api/v1/conferences/9/tree/push", nil, nil)
		shows("conferenceStatus", `"1"`, 5*time.Second)
		if got := section("timer"); got != "" {
			t.Errorf("a broken section was served: %s", got)
		}
		if s.metric("rollcall_broken_sections_total") < 1 {
			t.Error("the broken section was not counted")
		}
		s.must("PUT", "/api/v1/conferences/9/tree/conferenceStatus", `1`, nil)
		shows("conferenceStatus", `1`, 5*time.Second)
		storetest.Eventually(t, func() bool {
			var head string
			_ = db.QueryRow("SELECT head_data FROM conference_nodes WHERE conference_id = '9'").Scan(&head)
			return head == `{"onLineNumber":1}`
		}, "the online number was not written back")
		storetest.Show(t, "a row written beside rollcall: shown when pushed, noticed after %v when not; raw tabs and line feeds, 19 digits, a broken section left out", noticed.Round(10*time.Millisecond))
	})
}
