package system_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// field is a server for the clients of a system that was there before.
type field struct {
	*server
	dialect string
}

// inTheField plays a system on both databases. A grace of 15 s is longer than any restart here.
func inTheField(t *testing.T, extra settings, play func(t *testing.T, s *field)) {
	for _, dialect := range []string{store.SQLite, store.MySQL} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			with := settings{"presence.grace": "15s", "presence.node_timeout": "3s", "presence.node_heartbeat": "500ms", "notice.ack_timeout": "1s"}
			for k, v := range extra {
				with[k] = v
			}
			play(t, &field{launch(t, dialect, with), dialect})
		})
	}
}

// down ends the process: by plan on SQLite, by kill -9 on MariaDB.
func (s *field) down() {
	s.t.Helper()
	if s.dialect == store.SQLite {
		s.stop()
	} else {
		s.kill()
	}
}

// all waits until every page has seen something.
func all(pages []*page, what string, fragments ...string) {
	for _, p := range pages {
		p.t.Helper()
		p.sees(what, fragments...)
	}
}

// S1: the chat page connects without a word about itself. Its messages go to the lobby, to the speaker too.
func TestS1ChatPage(t *testing.T) {
	inTheField(t, nil, func(t *testing.T, s *field) {
		anna, ben := s.page("s1"), s.page("s1")
		both := []*page{anna, ben}
		outside, err := join(s.base, "carl", "42")
		if err != nil {
			t.Fatal(err)
		}
		defer outside.leave()
		anna.do("type", "text", "hello")
		all(both, "message", `"hello"`)
		ben.do("type", "text", `"<b>it</b>" \ 你好 👋`)
		all(both, "message", `"\"<b>it</b>\" \\ 你好 👋"`)
		for i := range 10 {
			anna.do("type", "text", fmt.Sprintf("anna %d", i))
			ben.do("type", "text", fmt.Sprintf("ben %d", i))
		}
		storetest.Eventually(t, func() bool { return anna.count("message") == 22 && ben.count("message") == 22 }, "22 messages at both pages")
		if a, b := anna.words(), ben.words(); !slices.Equal(a, b) {
			t.Errorf("the pages show different conversations:\n%s\n%s", a, b)
		}
		outside.mu.Lock()
		if n := outside.count["chat message"]; n != 0 {
			t.Errorf("somebody in a conference heard %d messages of the lobby", n)
		}
		outside.mu.Unlock()

		s.down()
		all(both, "disconnect")
		anna.do("type", "text", "typed while it was away") // the client keeps it
		s.start()
		all(both, "connect")
		anna.sees("message", "typed while it was away")
		ben.do("type", "text", "back again")
		all(both, "message", "back again")
		if n := anna.count("message", "while it was away"); n != 1 {
			t.Errorf("what was typed while the server was away is shown %d times", n)
		}
		storetest.Show(t, "S1: bare io(), 24 messages at two pages in one order, across a restart")
	})
}

// words are the messages that a page shows, in order.
func (p *page) words() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, s := range p.shown {
		if s.Saw == "message" {
			out = append(out, string(s.Args[0]))
		}
	}
	return out
}

// ears is the meeting backend as far as it is asked and told: it says who belongs to a conference, and notes the rest.
type ears struct {
	*httptest.Server
	mu    sync.Mutex // guards heard
	heard []string
}

func newEars(t *testing.T) *ears {
	e := &ears{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `[7,"8",5]`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		e.mu.Lock()
		e.heard = append(e.heard, r.Method+" "+r.URL.Path+" "+string(body))
		e.mu.Unlock()
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *ears) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

// S2: the meeting page on socket.io-client 2.5, with a client of the system among the people.
func TestS2Meeting(t *testing.T) {
	backend := newEars(t)
	asked := settings{"meeting.members_url": backend.URL + "/people?of={conferenceId}&for={userId}", "meeting.end_share_url": backend.URL + "/endShare"}
	inTheField(t, asked, func(t *testing.T, s *field) {
		room := "42" + s.dialect // the backend hears both runs
		s.must("POST", "/api/v1/users", `{"users":[{"id":7,"name":"Anna"},{"id":8,"name":"Ben"}]}`, nil)
		anna := s.page("s2", "7", room)
		anna.sees("note_tree", `"onLineNumber":1`)
		invited := s.page("s2", "5", "0") // online elsewhere; the backend says that he belongs to the conference
		ben := s.page("s2", "8", room)
		all([]*page{anna, invited}, "came", `"Ben"`)
		people := []*page{anna, ben}
		all(people, "note_tree", `"onLineNumber":2`)
		machine, nobody := s.page("s2", "77", room, "1"), s.page("s2", "undefined", room)
		machine.sees("note_tree", `"onLineNumber":2`)
		s.backendWorks(room, people, []*page{machine, nobody})

		ben.do("report", "text", "page hidden")
		ben.sees("reported", `"ok":true`)
		tab := s.page("s2", "8", room) // a second tab, closed without a good-bye
		tab.sees("note_tree", `"onLineNumber":2`)
		tab.shut()

		s.down()
		s.start()
		all(append(people, machine, nobody), "disconnect")
		all(append(people, machine, nobody), "connect")
		all(append(people, machine), "note_tree", `"topicInfo":{"title":"Budget"}`, `"onLineNumber":2`)
		s.push(room, "vote_start", `{"after":"restart"}`, "7", "8")
		all(people, "vote_start", `{"after":"restart"}`)
		for _, p := range people {
			if n := p.count("went"); n != 0 {
				t.Errorf("%s was told %d times that somebody went, nobody did:\n%s", p.name, n, p.story())
			}
		}

		s.sessions(3) // those that kill -9 left open are found, or who leaves would be expected back
		s.must("PUT", "/api/v1/conferences/"+room+"/tree/sameScreen", `{"isShare":1,"userId":8,"userName":"Ben","stream":"s-1"}`, nil)
		anna.sees("note_tree", `"isShare":1`, `"stream":"s-1"`)
		ben.do("leave")
		anna.sees("went", `"Ben"`)
		anna.sees("note_tree", `"onLineNumber":1`)
		storetest.Eventually(t, func() bool { return anna.count("note_tree", `"isShare":"0"`, `"stream":"s-1"`) > 0 }, "the sharing of who left is not shown as ended")
		told := fmt.Sprintf(`POST /endShare {"conferenceId":%q,"userId":"8","userName":""}`, room)
		storetest.Eventually(t, func() bool { return slices.Contains(backend.all(), told) }, "the backend was not told of the end of the sharing")
		storetest.Show(t, "S2: socket.io-client 2.5 with reconnection, system client and nobody: tree, notices, pushes, sharing, across a restart")
	})
}

// backendWorks pushes trees and messages as the meeting backend does. others are there without presence.
func (s *field) backendWorks(room string, people, others []*page) {
	s.t.Helper()
	t, everybody := s.t, append(slices.Clone(people), others...)
	s.must("PATCH", "/api/v1/conferences/"+room+"/tree", `{"conferenceInfo":{"text":"a\tb\nc"},"topicInfo":{"title":"Budget"}}`, nil)
	all(append(slices.Clone(people), others[0]), "note_tree", `"text":"a\tb\nc"`, `"title":"Budget"`, `"onLineNumber":2`)

	s.push(room, "vote_start", `{"subject":"Budget","options":[1,2]}`, "7", "8", "9")
	all(people, "vote_start", `[{"subject":"Budget","options":[1,2]}]`)
	s.push("elsewhere", "vote_start", `"not for this room"`, "7", "8")
	s.push("0", "speak_apply", `"anywhere"`, "7", "77")
	people[0].sees("speak_apply", `"anywhere"`)
	others[0].sees("speak_apply", `"anywhere"`)
	s.push(room, "attend_login", `{"secret":"link"}`, "8")
	people[1].sees("attend_login", `{"secret":"link"}`)
	s.must("POST", "/api/v1/push/all", `{"message":{"to":"all"},"destination":"vote_start"}`, nil)
	all(everybody, "vote_start", `{"to":"all"}`)
	for _, p := range everybody {
		if n := p.count("vote_start", "not for this room"); n != 0 {
			t.Errorf("%s got what was for another conference", p.name)
		}
	}
	if n := people[1].count("speak_apply"); n != 0 {
		t.Errorf("who was not listed got it %d times", n)
	}

	var log struct {
		Items []struct {
			ConferenceID, SenderID, SenderName, Label, SendType, State, FromIP string
			Recipients                                                         []string
			ToIP                                                               map[string]string
			Message                                                            json.RawMessage
		}
	}
	s.must("GET", "/api/v1/notices?event=attend_login", nil, &log)
	if len(log.Items) != 0 {
		t.Errorf("attend_login is in the log: %+v", log.Items)
	}
	s.must("GET", "/api/v1/notices?event=vote_start&conferenceId="+room, nil, &log)
	if len(log.Items) != 1 {
		t.Fatalf("%d log rows of one push: %+v", len(log.Items), log.Items)
	}
	row := log.Items[0]
	if row.SenderID != "7" || row.SenderName != "Anna" || row.Label != "vote" || row.SendType != "2" || row.State != "sent" || row.FromIP == "" ||
		len(row.Recipients) != 3 || row.ToIP["8"] == "" || string(row.Message) != `{"subject":"Budget","options":[1,2]}` {
		t.Errorf("the log row of a push is %+v, message %s", row, row.Message)
	}
}

// sessions waits until n sessions are open in the database.
func (s *field) sessions(n int) {
	s.t.Helper()
	db := s.pool()
	var open int
	storetest.Eventually(s.t, func() bool {
		if err := db.QueryRow("SELECT COUNT(*) FROM presence_sessions WHERE closed_at IS NULL").Scan(&open); err != nil {
			s.t.Fatal(err)
		}
		return open == n
	}, fmt.Sprintf("there are never %d open sessions", n))
}

// push is POST /push in the shape of S2.
func (s *field) push(room, destination, message string, users ...string) {
	s.t.Helper()
	s.must("POST", "/api/v1/push", fmt.Sprintf(`{"sendUserId":7,"userIds":[%s],"message":%s,"destination":%q,"conferenceId":%q,"sendType":2,"valueName":"vote"}`,
		strings.Join(users, ","), message, destination, room), nil)
}

// S3: three clients of one user, of both generations. A notice is acknowledged by a callback.
func TestS3ManyClients(t *testing.T) {
	inTheField(t, nil, func(t *testing.T, s *field) {
		app, pc, pcToo := s.page("s3", "7", "app", "2"), s.page("s3", "7", "pc", "4"), s.page("s3", "7", "pc", "2")
		other := s.page("s3", "8", "pc", "4")
		mine := []*page{app, pc, pcToo}
		all(append(mine, other), "alive", `"ok":true`, `"serverTime":`)
		var now struct {
			Users       int
			ClientTypes map[string]int
		}
		s.must("GET", "/api/v1/presence/summary", nil, &now)
		if now.Users != 2 || now.ClientTypes["app"] != 1 || now.ClientTypes["pc"] != 3 {
			t.Errorf("the summary is %+v", now)
		}

		id := s.notice(`{"to":{"users":[7]},"title":"Door","body":"It is open","requireAck":true}`)
		all(mine, "notice", id, `"title":"Door"`, `"body":"It is open"`)
		s.delivered(id, "7", "acked")
		id = s.notice(`{"to":{"users":[7]},"clientTypes":["app"],"body":"for the pocket","requireAck":true}`)
		app.sees("notice", id)
		s.delivered(id, "7", "acked")
		all(mine, "notice", s.notice(`{"to":{"users":[7]},"body":"for all of them"}`))
		if n := pc.count("notice", "pocket") + pcToo.count("notice", "pocket") + other.count("notice"); n != 0 {
			t.Errorf("%d clients got what was not for them", n)
		}

		other.do("fail")
		id = s.notice(`{"to":{"users":[8]},"body":"say that you got it","requireAck":true}`)
		storetest.Eventually(t, func() bool { return other.count("notice", id) >= 2 }, "what was not acknowledged was not sent again")

		s.down()
		all(append(mine, other), "disconnect")
		s.start()
		id = s.notice(`{"to":{"users":[7]},"body":"sent before they are back","requireAck":true}`)
		all(append(mine, other), "connect")
		all(append(mine, other), "alive", `"ok":true`)
		storetest.EventuallyWithin(t, patience, func() bool {
			return app.count("notice", id)+pc.count("notice", id)+pcToo.count("notice", id) > 0
		}, "nobody got what was sent before he came back")
		s.delivered(id, "7", "acked")
		all(mine, "notice", s.notice(`{"to":{"users":[7]},"body":"welcome back"}`))
		storetest.Show(t, "S3: app and pc of one user, acknowledged by callback, sent again when not, across a restart")
	})
}

// notice sends one and returns its id.
func (s *field) notice(body string) string {
	s.t.Helper()
	var sent struct{ ID string }
	s.must("POST", "/api/v1/notices", body, &sent)
	return sent.ID
}

// delivered waits until a notice has come so far with a user.
func (s *field) delivered(id, user, state string) {
	s.t.Helper()
	var list struct {
		Items []struct{ UserID, State string }
	}
	storetest.EventuallyWithin(s.t, 10*time.Second, func() bool {
		s.must("GET", "/api/v1/notices/"+id+"/deliveries", nil, &list)
		return len(list.Items) == 1 && list.Items[0].UserID == user && list.Items[0].State == state
	}, fmt.Sprintf("the notice %s is not %s by user %s", id, state, user))
}
