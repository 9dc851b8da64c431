package system_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/plantest"
	"rollcall/internal/storetest"
)

// hall is a conference in which many are online on another node, and one on this.
type hall struct {
	t *testing.T
	*plantest.Stand
	*server
	name    string
	people  int // online, without who comes and goes
	watcher *wire
}

// halls starts a server with a small hall and a large one. Both are larger than what is told one by one, so that the same is to
// be done in both.
func halls(t *testing.T) (small, large *hall) {
	stand := plantest.New(t, "nodes", "users")
	beat(t, stand)
	small, large = &hall{t: t, Stand: stand, name: "small", people: 11}, &hall{t: t, Stand: stand, name: "large", people: 1_001}
	for _, h := range []*hall{small, large} {
		plantest.Crowd(t, stand.Beside, h.name, h.people-1)
	}
	plantest.Do(t, stand.Beside, "ANALYZE TABLE "+strings.Join(plantest.Tables(t, stand.Beside), ", "))
	s := &server{t: t}
	s.launchOn(stand.Config, settings{
		"build": "quick", "database.dsn": stand.Config.DSN, "redis.addr": "", "presence.node_heartbeat": "500ms", "presence.node_timeout": "10s",
		"cluster.poll_interval": "5s", "presence.debounce": "100ms", "presence.detail_max": "5",
	})
	for _, h := range []*hall{small, large} {
		var err error
		h.server = s
		if h.watcher, err = join(s.base, "watcher", h.name); err != nil {
			t.Fatal(err)
		}
		// What she was shown as she came needs no push, so there may be none in the log.
		storetest.Eventually(t, func() bool { return h.rest(h.people) }, "the first is in in the "+h.name+" hall is never over")
	}
	return small, large
}

// settles waits until all is done that follows from what happened: the newest version was pushed and is in the log, the number
// of people is in the tree, and nothing waits to be announced.
func (h *hall) settles(what string, online int) {
	h.t.Helper()
	storetest.Eventually(h.t, func() bool {
		pushed := h.count(`SELECT COUNT(*) FROM notices n JOIN conference_versions v ON v.conference_id = n.conference_id
			WHERE n.conference_id = ? AND n.event = 'note_tree' AND n.message LIKE CONCAT('{"version":', v.tree_version, ',%')`, h.name)
		return pushed > 0 && h.rest(online)
	}, what+" in the "+h.name+" hall is never over")
}

// rest reports whether the number of people is in the tree and nothing waits to be announced.
func (h *hall) rest(online int) bool {
	h.t.Helper()
	return h.count(`SELECT COUNT(*) FROM conference_nodes WHERE conference_id = ? AND head_data LIKE CONCAT('%"onLineNumber":', ?, '%')`, h.name, online) > 0 &&
		h.count("SELECT COUNT(*) FROM notice_announcements WHERE conference_id = ? AND due_at IS NOT NULL", h.name) == 0
}

func (h *hall) count(query string, args ...any) (n int) {
	h.t.Helper()
	if err := h.Beside.QueryRowContext(h.t.Context(), query, args...).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// work is what was said to the database for one thing that happened in a hall.
type work struct {
	transactions int
	statements   []string
	rows         int
}

// does does something and returns what it cost. What is said of a hall names it, or the user who does it. The look at the versions
// that comes every few seconds belongs to nobody.
func (h *hall) does(user string, online int, what string, do func()) (w work) {
	h.t.Helper()
	skip := h.Len()
	do()
	if what == "join" {
		storetest.Eventually(h.t, func() bool {
			return slices.ContainsFunc(h.Heard(skip), func(s plantest.Statement) bool {
				return strings.Contains(s.Text, "FROM notice_readers AS r") && strings.Contains(s.Text, "'"+user+"'")
			})
		}, "it is never looked what waits for "+user)
	}
	h.settles(what, online)
	for _, said := range plantest.Transactions(h.Heard(skip)) {
		all := strings.Join(said, "\n")
		if !strings.Contains(all, "'"+h.name+"'") && !strings.Contains(all, "'"+user+"'") || len(said) == 2 && strings.Contains(said[1], "AS stamp") {
			continue
		}
		w.transactions++
		w.statements = append(w.statements, said...)
	}
	return w
}

// round joins, changes the tree and leaves.
func (h *hall) round(i int) (out [3]work) {
	h.t.Helper()
	user := fmt.Sprint(h.name, " guest ", i)
	user = strings.ReplaceAll(user, " ", "-")
	var guest *wire
	out[0] = h.does(user, h.people+1, "join", func() {
		var err error
		if guest, err = join(h.base, user, h.name); err != nil {
			h.t.Fatal(err)
		}
	})
	out[1] = h.does(user, h.people+1, "push", func() {
		h.must("PATCH", "/api/v1/conferences/"+h.name+"/tree", fmt.Sprintf(`{"topicInfo":{"title":"%d"}}`, i), nil)
	})
	out[2] = h.does(user, h.people, "leave", guest.leave)
	return out
}

// least returns the cheapest of some rounds: now and then a look of a loop falls into one.
func (h *hall) least() (out [3]work) {
	h.t.Helper()
	out = h.round(0)
	for i := range 2 {
		for j, w := range h.round(i + 1) {
			if len(w.statements) < len(out[j].statements) {
				out[j] = w
			}
		}
	}
	return out
}

// Who comes, goes or pushes costs the database the same, however many are there. What is counted is counted in an index.
func TestWorkIsConstant(t *testing.T) {
	small, large := halls(t)
	few, many := small.least(), large.least()
	small.server.stop()
	for i, what := range []string{"join", "push", "leave"} {
		s, l := &few[i], &many[i]
		s.rows, l.rows = plantest.Rows(t, small.Beside, s.statements), plantest.Rows(t, large.Beside, l.statements)
		storetest.Show(t, "a %s costs %d statements in %d transactions among %d people and %d in %d among %d; they look at %d and %d rows",
			what, len(s.statements), s.transactions, small.people, len(l.statements), l.transactions, large.people, s.rows, l.rows)
		if len(s.statements) != len(l.statements) || s.transactions != l.transactions || len(s.statements) < 5 {
			t.Errorf("a %s is not the same work among few and many:\n%s\n\n%s", what, shapes(s.statements), shapes(l.statements))
		}
		counts := func(text string) bool { return strings.Contains(text, "COUNT(*)") }
		a, b := plantest.Rows(t, small.Beside, slices.DeleteFunc(s.statements, counts)), plantest.Rows(t, large.Beside, slices.DeleteFunc(l.statements, counts))
		if b > a+20 {
			t.Errorf("a %s looks at %d rows among few and at %d among many, those that are counted left out", what, a, b)
		}
	}
}

func shapes(texts []string) string {
	var out strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&out, "%.200s\n", plantest.Shape(text))
	}
	return out.String()
}

// Those who come at the same time are written down together.
func TestBurstIsFewTransactions(t *testing.T) {
	small, _ := halls(t)
	const n = 500
	skip := small.Len()
	begun := time.Now()
	parallel(n, 100, func(i int) {
		if _, err := join(small.base, fmt.Sprint("burst-", i), small.name); err != nil {
			t.Error(err)
		}
	})
	took := time.Since(begun)
	all, opening, statements := 0, 0, 0
	for _, said := range plantest.Transactions(small.Heard(skip)) {
		all++
		statements += len(said)
		if strings.Contains(strings.Join(said, "\n"), "INSERT INTO `presence_sessions`") {
			opening++
		}
	}
	storetest.Show(t, "%d joins in %v: %d transactions that open sessions, %d of all kinds, %d statements", n, took.Round(time.Millisecond), opening, all, statements)
	if opening == 0 || opening > n/4 || all > n {
		t.Errorf("%d transactions that open sessions and %d of all kinds, for %d joins", opening, all, n)
	}
}
