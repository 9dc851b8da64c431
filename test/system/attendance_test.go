package system_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// span is a time for which somebody was there, as the script has it. The zero to: he still is.
type span struct {
	from, to time.Time
	reason   string
}

// script is a meeting that is played in ticks, and what its attendance must say.
type script struct {
	*server
	begin time.Time
	tick  time.Duration
	tabs  map[string][]*wire // who is there with which tabs
	spans map[string][]span
}

// at waits for a tick.
func (s *script) at(tick int) {
	<-time.After(time.Until(s.begin.Add(time.Duration(tick) * s.tick)))
}

// comes opens one more tab of each.
func (s *script) comes(users ...string) {
	s.t.Helper()
	for _, user := range users {
		w, err := join(s.base, user, "42", "userName", strings.ToUpper(user))
		if err != nil {
			s.t.Fatal(err)
		}
		if s.tabs[user] = append(s.tabs[user], w); len(s.tabs[user]) == 1 {
			s.spans[user] = append(s.spans[user], span{from: time.Now()})
		}
	}
}

// goes ends the oldest tab of a user in one of the ways there are.
func (s *script) goes(user, reason string) {
	s.t.Helper()
	w := s.tabs[user][0]
	s.tabs[user] = s.tabs[user][1:]
	switch reason {
	case "left":
		w.leave()
	case "lost":
		w.vanish()
	case "kicked":
		s.must("POST", "/api/v1/users/"+user+"/kick", `{}`, nil)
	}
	if len(s.tabs[user]) == 0 {
		s.ends(user, reason)
	}
}

func (s *script) ends(user, reason string) {
	last := &s.spans[user][len(s.spans[user])-1]
	last.to, last.reason = time.Now(), reason
}

// flickers loses the link of a user who is back within the grace: he was there all along.
func (s *script) flickers(user string) {
	s.t.Helper()
	s.tabs[user][0].vanish()
	s.tabs[user] = nil
	before := s.spans[user]
	s.comes(user)
	s.spans[user] = before
}

// crashes kills the process when its last heartbeat is oldest, which is when the ledger knows least: everybody's time ends.
func (s *script) crashes() {
	s.t.Helper()
	db := s.pool()
	storetest.Eventually(s.t, func() bool {
		var beat int64
		if err := db.QueryRow("SELECT MAX(heartbeat_at) FROM nodes WHERE state = 'up'").Scan(&beat); err != nil {
			s.t.Fatal(err)
		}
		return time.Since(time.UnixMilli(beat)) > 400*time.Millisecond
	}, "the heartbeat is never 400 ms old")
	s.kill()
	for user, tabs := range s.tabs {
		if len(tabs) > 0 {
			s.ends(user, "node_lost")
		}
	}
	clear(s.tabs)
}

// play is the script: who comes, goes, is lost and comes back, with the crash in the middle.
func (s *script) play() {
	s.begin = time.Now()
	s.comes("stays", "returns", "tabs", "flickers", "breaks", "nuisance")
	s.at(1)
	s.comes("twice")
	s.at(2)
	s.comes("tabs")
	s.at(4)
	s.goes("twice", "left")
	s.goes("tabs", "left")
	s.at(5)
	s.flickers("flickers")
	s.at(6)
	s.goes("breaks", "lost")
	s.at(7)
	s.goes("nuisance", "kicked")
	s.at(8)
	s.goes("tabs", "left")
	s.at(9)
	s.comes("twice")
	s.at(11)
	s.goes("twice", "left")
	s.at(13)
	s.comes("breaks")
	s.at(14)
	s.crashes()
	s.start()
	s.at(20)
	s.comes("returns", "flickers", "late")
	s.at(23)
	s.comes("tabs")
	s.at(25)
	s.goes("flickers", "left")
}

// attended is the answer of attendance.
type attended struct {
	Items []struct {
		UserID, UserName string
		Intervals        []struct {
			From   int64
			To     *int64
			Reason *string
		}
		TotalMs int64
	}
}

// settles waits until the service knows of the crash: then only who is there has a session.
func (s *script) settles() {
	there, open := 0, 0
	for _, tabs := range s.tabs {
		there += len(tabs)
	}
	db := s.pool()
	storetest.EventuallyWithin(s.t, 20*time.Second, func() bool {
		if err := db.QueryRow("SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL").Scan(&open); err != nil {
			s.t.Fatal(err)
		}
		return open == there
	}, fmt.Sprintf("%d sessions stay open where %d people are there", open, there))
}

// compare holds the attendance against the script and returns the widest difference.
func (s *script) compare(a attended) (widest time.Duration, intervals int) {
	s.t.Helper()
	differ := func(user string, ms int64, want time.Time) {
		d := time.UnixMilli(ms).Sub(want).Abs()
		if widest = max(widest, d); d > time.Second {
			s.t.Errorf("%s: the ledger is %v beside the script", user, d)
		}
	}
	for _, item := range a.Items {
		want := s.spans[item.UserID]
		if len(item.Intervals) != len(want) {
			s.t.Errorf("%s has %d intervals, want %d: %+v", item.UserID, len(item.Intervals), len(want), item.Intervals)
			continue
		}
		for i, got := range item.Intervals {
			intervals++
			differ(item.UserID, got.From, want[i].from)
			switch {
			case want[i].to.IsZero() != (got.To == nil):
				s.t.Errorf("%s, interval %d: ends at %v, want %v", item.UserID, i, got.To, want[i].to)
			case got.To != nil:
				differ(item.UserID, *got.To, want[i].to)
				if *got.Reason != want[i].reason {
					s.t.Errorf("%s, interval %d: ended because %s, want %s", item.UserID, i, *got.Reason, want[i].reason)
				}
			}
		}
	}
	return widest, intervals
}

// The attendance of a scripted meeting with a crash in the middle equals the script to the second.
func TestAttendanceOfScript(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		t.Parallel() // it mostly waits
		s := &script{
			server: launch(t, dialect, settings{"build": "quick", "presence.grace": "1s", "presence.node_heartbeat": "500ms", "presence.node_timeout": "3s"}),
			tick:   300 * time.Millisecond, tabs: map[string][]*wire{}, spans: map[string][]span{},
		}
		if storetest.Proving() {
			s.tick = time.Second
		}
		s.must("PUT", "/api/v1/conferences/42/members", `{"members":[{"userId":"returns"},{"userId":"never","name":"=Never"}]}`, nil)
		s.play()
		s.settles()
		var a attended
		s.must("GET", "/api/v1/conferences/42/attendance", nil, &a)
		if len(a.Items) != len(s.spans)+1 || a.Items[0].UserID != "returns" || a.Items[1].UserID != "never" || a.Items[1].TotalMs != 0 {
			t.Errorf("attendance is %+v", a)
		}
		widest, intervals := s.compare(a)
		s.sameAsFile(a)
		s.explains("stays")
		storetest.Show(t, "%d people with %d intervals over %v, kill -9 in the middle: no interval too many or too few, the widest difference from the script is %v; explain, beside the running server, tells the crash",
			len(s.spans), intervals, time.Since(s.begin).Round(time.Second), widest.Round(time.Millisecond))
	})
}

// sameAsFile compares the attendance with its file for spreadsheets.
func (s *script) sameAsFile(a attended) {
	s.t.Helper()
	var text string
	if status, h := s.call("GET", "/api/v1/conferences/42/attendance?format=csv", nil, &text); status != 200 || !strings.HasPrefix(h.Get("Content-Type"), "text/csv") {
		s.t.Fatalf("the file was answered %d as %s", status, h.Get("Content-Type"))
	}
	text, marked := strings.CutPrefix(text, "\uFEFF")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || !marked || len(rows) == 0 {
		s.t.Fatalf("the file is no CSV with a mark: %v\n%s", err, text)
	}
	moment := func(ms *int64) string {
		if ms == nil {
			return ""
		}
		return time.UnixMilli(*ms).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	var want [][]string
	for _, item := range a.Items {
		if len(item.Intervals) == 0 {
			want = append(want, []string{item.UserID, "'=Never", "", "", ""})
		}
		for _, i := range item.Intervals {
			reason := ""
			if i.Reason != nil {
				reason = *i.Reason
			}
			want = append(want, []string{item.UserID, item.UserName, moment(&i.From), moment(i.To), reason})
		}
	}
	for i := range rows {
		rows[i] = rows[i][:5] // the total of who is there has grown meanwhile
	}
	if !slices.Equal(rows[0], []string{"userId", "userName", "from", "to", "reason"}) || !slices.EqualFunc(rows[1:], want, slices.Equal[[]string]) {
		s.t.Errorf("the file says\n%q\nwant\n%q", rows, want)
	}
}

// explains runs the command beside the server, and asks over REST: both tell that the node of a user died.
func (s *script) explains(user string) {
	s.t.Helper()
	var line struct {
		Items []struct {
			At           int64
			Kind, Reason string
			Text         string
		}
	}
	s.must("GET", "/api/v1/explain?conferenceId=42&userId="+user, nil, &line)
	// The command is asked later and so knows all of that; rows of trees that were pushed may still have been added.
	cmd := exec.Command(s.path, "explain", "-user", user, "-conference", "42")
	cmd.Dir, cmd.Env = s.t.TempDir(), append(os.Environ(), s.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("explain: %v\n%s", err, out)
	}
	last := s.spans[user][len(s.spans[user])-1].to
	died := 0
	for _, m := range line.Items {
		if !strings.Contains(string(out), m.Text) {
			s.t.Errorf("the command does not say %q as REST does:\n%s", m.Text, out)
		}
		if m.Kind == "session.closed" && m.Reason == "node_lost" && strings.Contains(m.Text, "died") {
			died++
			if d := time.UnixMilli(m.At).Sub(last).Abs(); d > time.Second {
				s.t.Errorf("explain has the crash %v beside the script", d)
			}
		}
	}
	if died != 1 || !strings.Contains(string(out), "died") || !strings.Contains(string(out), "state.offline") {
		s.t.Errorf("explain does not tell the crash, or not once:\n%s", out)
	}
}
