package system_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// inboxPage is an answer to the event inbox, or a page of it over REST.
type inboxPage struct {
	letterBox
	Next string
}

// inbox pages through all that a client's user has, 200 at a time.
func inbox(t *testing.T, c *clienttest.Client) (all letterBox) {
	t.Helper()
	for cursor := ""; ; {
		var p inboxPage
		answer := c.EmitAck(t, "inbox", map[string]any{"limit": 200, "cursor": cursor})
		if err := json.Unmarshal(answer[0], &p); err != nil || !told(`"ok":true`)(answer) {
			t.Fatalf("inbox was answered %s: %v", answer, err)
		}
		all.Unread, all.Items = p.Unread, append(all.Items, p.Items...)
		if cursor = p.Next; cursor == "" {
			return all
		}
	}
}

// posts is what many callers posted, and what was accepted of it. Every other post carries a key of its own.
type posts struct {
	client http.Client

	mu       sync.Mutex // guards the rest
	tried    int
	accepted map[string]int // the number of the post by the id in its 202
	unsure   []int          // numbers of posts with a key whose 202 was not read
	repeated int            // posts that were sent again with their key
}

// post sends a notice with a number of its own and reports whether its 202 was read.
func (p *posts) post(base string) bool {
	p.mu.Lock()
	p.tried++
	number := p.tried
	p.mu.Unlock()
	id := p.send(base, number)
	p.mu.Lock()
	defer p.mu.Unlock()
	if id != "" {
		p.accepted[id] = number
	} else if number%2 == 1 {
		p.unsure = append(p.unsure, number)
	}
	return id != ""
}

// send returns the id in the 202, or "" if there was none.
func (p *posts) send(base string, number int) (id string) {
	body := fmt.Sprintf(`{"to":{"users":["ben","anna"]},"category":"mailbox","data":{"number":%d}}`, number)
	req, err := http.NewRequest("POST", base+"/api/v1/notices", strings.NewReader(body))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	if number%2 == 1 {
		req.Header.Set("Idempotency-Key", fmt.Sprint("number-", number))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var done struct{ ID string }
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted || json.Unmarshal(text, &done) != nil {
		return ""
	}
	return done.ID
}

// askAgain repeats, with their keys, the posts of which nobody knows whether they were accepted.
func (p *posts) askAgain(t *testing.T, base string) {
	t.Helper()
	for _, number := range p.unsure {
		id := p.send(base, number)
		if id == "" {
			t.Fatalf("post %d was not accepted when it was repeated with its key", number)
		}
		p.accepted[id] = number
		p.repeated++
	}
	p.unsure = nil
}

// check compares an inbox with what was accepted. What was answered must be there once; what was not may be, once.
func (p *posts) check(t *testing.T, who string, b letterBox) (lost, doubled, unanswered int) {
	t.Helper()
	ids, numbers := map[string]int{}, map[int]int{}
	for _, item := range b.Items {
		var data struct{ Number int }
		if err := json.Unmarshal(item.Data, &data); err != nil || data.Number == 0 {
			t.Errorf("%s has %s with %s", who, item.ID, item.Data)
		}
		ids[item.ID]++
		numbers[data.Number]++
		if number, answered := p.accepted[item.ID]; !answered {
			unanswered++
		} else if number != data.Number {
			t.Errorf("%s has number %d as %s, which was answered to number %d", who, data.Number, item.ID, number)
		}
	}
	for id := range p.accepted {
		if ids[id] == 0 {
			lost++
		}
	}
	for _, n := range numbers {
		doubled += n - 1
	}
	if lost+doubled > 0 || b.Unread.Total != len(b.Items) {
		t.Errorf("%s: %d lost, %d doubled, %d unread in an inbox of %d", who, lost, doubled, b.Unread.Total, len(b.Items))
	}
	return lost, doubled, unanswered
}

// killAtAnswer posts with four callers and kills the server at the moment in which one has read his nth 202.
func (p *posts) killAtAnswer(s *server, nth int) {
	s.t.Helper()
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for p.post(s.base) {
			}
		})
	}
	for range nth {
		if !p.post(s.base) {
			s.t.Fatal("a notice was not accepted by a server that runs")
		}
	}
	s.kill()
	others.Wait()
	p.client.CloseIdleConnections()
}

// 202 means stored: whatever was answered is in the inbox once, even if the process is killed at that moment.
func TestKilledAtTheAnswer(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		s := launch(t, dialect, settings{"build": "quick", "presence.grace": "1s", "presence.node_timeout": "2s", "presence.node_heartbeat": "500ms"})
		driver := clienttest.Start(t)
		anna := driver.Connect(t, clienttest.Options{URL: s.base, Reconnect: true, Transports: []string{"websocket"}, Query: map[string]string{"userId": "anna"}})
		p := &posts{accepted: map[string]int{}, client: http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}
		kills := storetest.Size(200, 8) / 2
		begin := time.Now()
		for i := range kills {
			p.killAtAnswer(s, 1+i%3)
			s.start()
			anna.WaitConnect(t)
			p.askAgain(t, s.base)
		}
		took := time.Since(begin)
		ben := driver.Connect(t, clienttest.Options{URL: s.base, Query: map[string]string{"userId": "ben"}})
		var box letterBox
		if err := json.Unmarshal(ben.Wait(t, "push_message", nil).Args[0], &box); err != nil {
			t.Fatal(err)
		}
		his, hers := inbox(t, ben), inbox(t, anna)
		if box.Unread.Total != len(his.Items) || len(box.Items) != min(50, len(his.Items)) {
			t.Errorf("ben is told of %d unread with %d of them, and has %d", box.Unread.Total, len(box.Items), len(his.Items))
		}
		lost, doubled, unanswered := p.check(t, "ben", his)
		lostToo, doubledToo, _ := p.check(t, "anna", hers)
		there := map[string]bool{}
		for _, item := range hers.Items {
			there[item.ID] = true
		}
		live := anna.Events("notice")
		for _, e := range live {
			var n struct{ ID string }
			if err := json.Unmarshal(e.Args[0], &n); err != nil || !there[n.ID] {
				t.Errorf("anna was shown %s, which is not in her inbox", e.Args)
			}
		}
		storetest.Show(t, "%d kill -9 right after a 202: %d notices accepted (%d of them when asked again with their Idempotency-Key), %d lost, %d ids doubled, in the inbox of one who was away and of one who was there (she saw %d at once, 0 of them not stored); %d that were not answered are there too; %v a kill with its restart",
			kills, len(p.accepted), p.repeated, lost+lostToo, doubled+doubledToo, len(live), unanswered, (took / time.Duration(kills)).Round(time.Millisecond))
	})
}

// mailbox is a user with three devices of different kinds, and the notices that were sent to him.
type mailbox struct {
	*server
	t       *testing.T
	driver  *clienttest.Driver
	kinds   []clienttest.Options
	devices []*clienttest.Client
	ids     []string
	unread  map[string]int // by category
}

var deviceNames = []string{"4.8 websocket", "2.5", "4.8 polling"}

func newMailbox(t *testing.T, dialect string) *mailbox {
	m := &mailbox{server: launch(t, dialect, settings{"presence.grace": "1s"}), t: t, driver: clienttest.Start(t), unread: map[string]int{}}
	m.kinds = []clienttest.Options{{Transports: []string{"websocket"}}, {Version: 2}, {Transports: []string{"polling"}, NoUpgrade: true}}
	for i := range m.kinds {
		m.kinds[i].URL, m.kinds[i].Query = m.base, map[string]string{"userId": "ben", "deviceId": fmt.Sprint("device-", i)}
		m.devices = append(m.devices, m.driver.Connect(t, m.kinds[i]))
	}
	return m
}

// fill sends n notices of mixed categories from eight callers.
func (m *mailbox) fill(n int) {
	categories := []string{"announcement", "remind", "subscription", "publication", "system", "mailbox"}
	var mu sync.Mutex
	parallel(n, 8, func(i int) {
		var sent struct{ ID string }
		category := categories[i%len(categories)]
		m.must("POST", "/api/v1/notices", fmt.Sprintf(`{"to":{"users":["ben"]},"category":%q,"title":"number %d"}`, category, i), &sent)
		mu.Lock()
		defer mu.Unlock()
		m.ids = append(m.ids, sent.ID)
		m.unread[category]++
	})
	slices.Sort(m.ids)
}

func (m *mailbox) total() (sum int) {
	for _, n := range m.unread {
		sum += n
	}
	return sum
}

// heard waits until a device has got every notice and returns how many it got twice.
func (m *mailbox) heard(device *clienttest.Client, name string) (doubled int) {
	m.t.Helper()
	seen := map[string]int{}
	storetest.EventuallyWithin(m.t, 60*time.Second, func() bool {
		clear(seen)
		for _, e := range device.Events("notice") {
			var n struct{ ID string }
			if err := json.Unmarshal(e.Args[0], &n); err != nil {
				m.t.Fatal(err)
			}
			seen[n.ID]++
		}
		return len(seen) >= len(m.ids)
	}, fmt.Sprintf("%s does not get all of %d notices", name, len(m.ids)))
	for _, id := range m.ids {
		if seen[id] == 0 {
			m.t.Errorf("%s did not get %s", name, id)
		}
		doubled += max(0, seen[id]-1)
	}
	return doubled
}

// exact compares what a device, or REST, says of the unread.
func (m *mailbox) exact(who string, got letterBox) {
	m.t.Helper()
	if got.Unread.Total != m.total() {
		m.t.Errorf("%s says %d unread, want %d", who, got.Unread.Total, m.total())
	}
	for category, n := range m.unread {
		if got.Unread.ByCategory[category] != n {
			m.t.Errorf("%s says %d unread of %s, want %d", who, got.Unread.ByCategory[category], category, n)
		}
	}
}

func (m *mailbox) exactEverywhere(devices []*clienttest.Client) {
	m.t.Helper()
	for i, d := range devices {
		m.exact(fmt.Sprint("device ", i), inbox(m.t, d))
	}
	var page inboxPage
	m.must("GET", "/api/v1/users/ben/inbox?limit=1", nil, &page)
	m.exact("REST", page.letterBox)
}

// reads marks something as read on one device and returns how long it took until all others showed the new counts.
func (m *mailbox) reads(on *clienttest.Client, devices []*clienttest.Client, what map[string]any) (slowest time.Duration) {
	m.t.Helper()
	begin := time.Now()
	on.Emit(m.t, "notice_read", what)
	for _, d := range devices {
		if d != on {
			e := d.Wait(m.t, "push_message", told(fmt.Sprintf(`"total":%d,`, m.total()), `"items":[]`))
			slowest = max(slowest, e.Time().Sub(begin))
		}
	}
	return slowest
}

// A user with three devices, of which one is away: one of 4.8 on SQLite, the one of 2.5 on MariaDB.
func TestThreeDevices(t *testing.T) {
	storetestEach(t, func(t *testing.T, dialect string) {
		m, away := newMailbox(t, dialect), 2
		if dialect == store.MySQL {
			away = 1
		}
		m.devices[away].Close(t)
		storetest.Eventually(t, func() bool { return m.metric("rollcall_sockets") == 2 }, "the third device is still there")
		n := storetest.Size(500, 90)
		m.fill(n)
		there, doubled := slices.Delete(slices.Clone(m.devices), away, away+1), 0
		for i, d := range there {
			doubled += m.heard(d, fmt.Sprint("online device ", i))
		}
		m.exactEverywhere(there)

		var slowest, slowestAll time.Duration
		byID := map[string]string{}
		for _, item := range inbox(t, there[0]).Items {
			byID[item.ID] = item.Category
		}
		const reads = 20
		for i, id := range m.ids[:reads] {
			m.unread[byID[id]]--
			slowest = max(slowest, m.reads(there[i%2], there, map[string]any{"ids": []string{id}}))
		}
		m.exactEverywhere(there)

		back := m.driver.Connect(t, m.kinds[away])
		var box letterBox
		if err := json.Unmarshal(back.Wait(t, "push_message", nil).Args[0], &box); err != nil {
			t.Fatal(err)
		}
		m.exact("push_message on return", box)
		if len(box.Items) == 0 || len(box.Items) > 50 || !box.More || box.Items[0].ID != m.ids[n-1] {
			t.Errorf("on return came %d items, more %v", len(box.Items), box.More)
		}
		everything := inbox(t, back)
		if len(everything.Items) != n {
			t.Errorf("on return he can page through %d of %d", len(everything.Items), n)
		}
		for i, item := range everything.Items {
			if at := n - 1 - i; at >= 0 && (item.ID != m.ids[at] || item.Read != (at < reads)) {
				t.Fatalf("item %d is %s, read %v", i, item.ID, item.Read)
			}
		}
		if pushes := len(back.Events("push_message")); pushes != 1 {
			t.Errorf("the one that came back got %d push_message", pushes)
		}
		if late := len(back.Events("notice")); late != 0 {
			t.Errorf("the one that came back got %d notices beside", late)
		}
		all := append(there, back)
		delete(m.unread, "remind")
		slowestAll = m.reads(back, all, map[string]any{"all": true, "category": "remind"})
		clear(m.unread)
		slowestAll = max(slowestAll, m.reads(there[0], all, map[string]any{"all": true}))
		m.exactEverywhere(all)
		storetest.Show(t, "%s was away: %d notices, each at both other devices, %d doubled; unread exact per category; read on one showed on the other within %v (%d times), all read at once within %v; one push_message on return with %d of %d",
			deviceNames[away], n, doubled, slowest.Round(time.Millisecond), reads, slowestAll.Round(time.Millisecond), len(box.Items), box.Unread.Total)
		if max(slowest, slowestAll) > 5*time.Second {
			t.Errorf("it took %v until what was read on one device showed on another", slowest)
		}
	})
}
