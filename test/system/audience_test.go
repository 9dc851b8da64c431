package system_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// audience is a room of honest clients that note when they see which change of the tree.
type audience struct {
	t       *testing.T
	s       *server
	members []*member
	next    int // number of the next change
}

// member is one of them.
type member struct {
	conn *websocket.Conn

	mu   sync.Mutex // guards the rest
	seen []arrival  // in the order of their arrival
	err  error
}

// arrival is the arrival of a change.
type arrival struct {
	change int
	at     time.Time
}

// gather lets n honest clients into a room whose tree is of the size that an ordinary meeting has.
func gather(t *testing.T, s *server, n int) *audience {
	t.Helper()
	a := &audience{t: t, s: s, next: 1}
	agenda := map[string]any{"conferenceInfo": map[string]string{"agenda": strings.Repeat("an item of the agenda ", 180)}, "topicInfo": map[string]int{"change": 0}}
	s.must("PATCH", "/api/v1/conferences/room/tree", agenda, nil)
	a.members = make([]*member, n)
	parallel(n, 32, func(i int) {
		w, err := dial(s.base, url.Values{"userId": {fmt.Sprintf("honest%d", i)}, "conferenceId": {"room"}})
		if err != nil {
			t.Error(err)
			return
		}
		a.members[i] = &member{conn: w.conn}
		go a.members[i].read()
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, m := range a.members {
			_ = m.conn.Close()
		}
	})
	a.await(0)
	return a
}

// read notes trees, and answers heartbeats.
func (m *member) read() {
	begin, last := time.Now(), ""
	for {
		_ = m.conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		_, text, err := m.conn.ReadMessage()
		at := time.Now()
		m.mu.Lock()
		if err != nil {
			m.err = fmt.Errorf("%v after it came, behind %.40q: %w", time.Since(begin), last, err)
			m.mu.Unlock()
			return
		}
		last = string(text[:min(len(text), 40)])
		if _, rest, ok := bytes.Cut(text, []byte(`"change":`)); ok && bytes.HasPrefix(text, []byte(`42["note_tree"`)) {
			digits, _, _ := bytes.Cut(rest, []byte("}"))
			if change, err := strconv.Atoi(string(digits)); err == nil {
				m.seen = append(m.seen, arrival{change, at})
			}
		}
		m.mu.Unlock()
		if string(text) == "2" {
			_ = m.conn.WriteMessage(websocket.TextMessage, []byte("3"))
		}
	}
}

// await waits until everybody has seen a change.
func (a *audience) await(change int) {
	a.t.Helper()
	limit := time.Now().Add(patient)
	for i, m := range a.members {
		for {
			m.mu.Lock()
			there, err := len(m.seen) > 0 && m.seen[len(m.seen)-1].change >= change, m.err
			m.mu.Unlock()
			if there {
				break
			}
			if err != nil || time.Now().After(limit) {
				a.t.Fatalf("honest client %d does not have change %d: %v", i, change, err)
			}
			<-time.After(time.Millisecond)
		}
	}
}

// p99 makes ten changes a second for a while and returns the time by which 99 of 100 had reached the client that they were for,
// reckoned from when each was due to be made. All have reached all when it returns.
func (a *audience) p99(during time.Duration) time.Duration {
	a.t.Helper()
	const every = 100 * time.Millisecond
	first, begin := a.next, time.Now()
	for _, m := range a.members {
		m.mu.Lock()
		m.seen = m.seen[:0]
		m.mu.Unlock()
	}
	var due []time.Time
	for at := begin; at.Before(begin.Add(during)); at = at.Add(every) {
		<-time.After(time.Until(at)) // at once if the change before took too long
		a.change(a.next)
		due, a.next = append(due, at), a.next+1
	}
	a.await(a.next - 1)
	var took []time.Duration
	for _, m := range a.members {
		m.mu.Lock()
		i := 0
		for n, at := range due {
			for m.seen[i].change < first+n { // changes close together may share one push
				i++
			}
			took = append(took, m.seen[i].at.Sub(at))
		}
		m.mu.Unlock()
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// change changes the tree over REST.
func (a *audience) change(n int) {
	a.t.Helper()
	req, err := http.NewRequest("PATCH", a.s.base+"/api/v1/conferences/room/tree", strings.NewReader(fmt.Sprintf(`{"topicInfo":{"change":%d}}`, n)))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.t.Fatalf("a change was answered %d", resp.StatusCode)
	}
}
