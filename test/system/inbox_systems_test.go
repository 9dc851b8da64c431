package system_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// letterBox is push_message as the page of S4 reads it.
type letterBox struct {
	Unread struct {
		Total      int
		ByCategory map[string]int
	}
	Items []struct {
		ID, Event, Category, SenderID, Title string
		Data                                 json.RawMessage
		Read                                 bool
	}
	More bool
}

func (p *page) letters(fragments ...string) letterBox {
	p.t.Helper()
	var box letterBox
	if err := json.Unmarshal(p.sees("push_message", fragments...)[0], &box); err != nil {
		p.t.Fatal(err)
	}
	return box
}

// S4: letters and tasks wait for who is away, and are pushed when he logs in, under a path and from an origin of the
// portal's own.
func TestS4LetterBox(t *testing.T) {
	const path, origin = "/letters/", "http://portal.example"
	inTheField(t, settings{"socket.path": path, "http.allowed_origins": origin}, func(t *testing.T, s *field) {
		anna := s.page("s4", "anna", path, "polling", origin)
		categories := []string{"announcement", "remind", "subscription", "publication", "system", "mailbox"}
		for _, c := range categories {
			s.notice(fmt.Sprintf(`{"to":{"users":["carl"]},"category":%q,"title":"about %s","data":{"n":1}}`, c, c))
		}
		s.notice(`{"to":{"all":true},"category":"announcement","title":"to everybody"}`)
		anna.do("todo", "task", map[string]any{"receiver_id": "carl", "title": "sign the form", "due": 1790000000000, "more": map[string]any{"deep": []int{1, 2}}})
		anna.sees("todo answer", `"ok":true`, `"delivered":0`, `"queued":true`)

		carl := s.page("s4", "carl", path, "polling,websocket", origin)
		box := carl.letters(`"total":8`)
		if box.Unread.Total != 8 || len(box.Items) != 8 || box.More || box.Unread.ByCategory["announcement"] != 2 || box.Unread.ByCategory["remind"] != 2 {
			t.Fatalf("carl's box is %+v", box)
		}
		for _, c := range categories {
			if box.Unread.ByCategory[c] == 0 {
				t.Errorf("nothing in category %s: %+v", c, box.Unread)
			}
		}
		if task := box.Items[0]; task.Event != "todo_message" || task.Category != "remind" || task.SenderID != "anna" || !strings.Contains(string(task.Data), `"due":1790000000000`) {
			t.Errorf("the newest in the box is %+v with %s", task, task.Data)
		}

		anna.do("todo", "task", map[string]any{"receiver_id": "carl", "title": "second", "more": map[string]any{"deep": []int{1, 2}}})
		anna.sees("todo answer", `"ok":true`, `"delivered":1`)
		carl.sees("todo_message", `"title":"second"`, `"receiver_id":"carl"`, `"more":{"deep":[1,2]}`, `"senderId":"anna"`, `"id":"`, `"createdAt":`)

		tab := s.page("s4", "carl", path, "websocket", origin)
		if got := tab.letters(`"id":"`).Unread.Total; got != 9 {
			t.Errorf("the second tab is told of %d unread, want 9", got)
		}
		carl.do("read", "ids", []string{box.Items[1].ID, box.Items[2].ID, "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
		carl.sees("read answer", `"ok":true`, `"total":7`)
		tab.sees("push_message", `"total":7`, `"items":[]`)
		tab.do("look", "limit", 50)
		if got := tab.sees("inbox", `"ok":true`)[0]; strings.Count(string(got), `"read":true`) != 2 || strings.Count(string(got), `"read":false`) != 7 {
			t.Errorf("the inbox does not tell read and unread apart: %s", got)
		}

		s.down()
		s.start()
		for _, p := range []*page{carl, tab} {
			p.sees("disconnect")
			p.sees("connect")
			box := p.letters(`"total":7`, `"id":"`)
			if box.Unread.Total != 7 || len(box.Items) != 7 {
				t.Errorf("after the restart the box is %+v", box)
			}
		}
		anna.sees("disconnect")
		anna.sees("connect", `"polling"`)
		anna.do("todo", "task", map[string]any{"receiver_id": "carl", "title": "third"})
		all([]*page{carl, tab}, "todo_message", `"title":"third"`)
		storetest.Show(t, "S4: six categories and tasks wait and are pushed at login; polling, own path and origin, across a restart")
	})
}

// S5: two people, by function. Who is not there gets it when he comes, and the sender is told.
func TestS5OneToOne(t *testing.T) {
	inTheField(t, settings{"presence.grace": "1s"}, func(t *testing.T, s *field) {
		anna := s.page("s5", "anna", "ben")
		anna.do("say", "text", "are you there?")
		anna.sees("the other side is not online", "are you there?", `"ok":true`, `"delivered":0`, `"queued":true`)
		anna.online(1)

		ben := s.page("s5", "ben", "anna")
		ben.sees("missed", `"anna"`, `"are you there?"`)
		anna.online(2)
		ben.do("say", "text", "now I am")
		ben.sees("told", "now I am", `"delivered":1`, `"queued":false`)
		anna.sees("message", `"ben"`, `"now I am"`)
		tab := s.page("s5", "anna", "ben")
		ben.do("say", "text", "both pages?")
		ben.sees("told", "both pages?", `"delivered":2`)
		all([]*page{anna, tab}, "message", `"both pages?"`)
		carl := s.page("s5", "carl", "anna")
		anna.online(3)
		carl.shut()
		anna.online(2)

		s.down()
		all([]*page{anna, ben}, "disconnect")
		anna.do("say", "text", "said while it was away")
		s.start()
		all([]*page{anna, ben}, "connect")
		said := `"said while it was away"`
		storetest.EventuallyWithin(t, patience, func() bool { return ben.count("message", said)+ben.count("missed", said) > 0 }, "what was said while the server was away is lost")
		var log struct{ Items []json.RawMessage }
		s.must("GET", "/api/v1/notices?event=direct_message&q=away", nil, &log)
		if len(log.Items) != 1 {
			t.Errorf("said once, stored %d times: %s", len(log.Items), log.Items)
		}
		ben.do("say", "text", "still here")
		anna.sees("message", `"still here"`)
		storetest.Show(t, "S5: delivered, offline, and delivered later; people counted, across a restart")
	})
}

// online waits until the page's counter shows n.
func (p *page) online(n int) {
	p.t.Helper()
	storetest.EventuallyWithin(p.t, patience, func() bool {
		p.do("count")
		return string(p.sees("online")[0]) == fmt.Sprint(n)
	}, fmt.Sprintf("the counter never shows %d", n))
}

// A token as S6 has it: nothing that could be a user id.
const pageToken = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.A/b+c_d=="

// S6: pages say after connecting which token they have; the backend pushes to tokens.
func TestS6PushGateway(t *testing.T) {
	inTheField(t, nil, func(t *testing.T, s *field) {
		quoted, _ := json.Marshal(pageToken)
		one, two := s.page("s6", string(quoted), "1"), s.page("s6", string(quoted), "1")
		number, bare := s.page("s6", "990017", "2"), s.page("s6", `"only a token"`)
		pages := []*page{one, two, number, bare}
		all(pages, "login", `"ok":true`)

		s.deliver(2, `{"tokens":[`+string(quoted)+`],"data":{"orderId":12,"text":"paid"},"entityType":"order"}`)
		all([]*page{one, two}, "message", `"order" {"orderId":12,"text":"paid"}`)
		s.deliver(4, `{"tokens":["only a token",990017,`+string(quoted)+`],"data":[1,"two",null]}`)
		all(pages, "message", `[1,"two",null]`)
		s.deliver(1, `{"tokens":["990017"],"data":"the number as text"}`)
		number.sees("message", `"the number as text"`)
		s.deliver(1, `{"tokens":["2"],"data":"by user id"}`)
		number.sees("message", `"by user id"`)
		s.deliver(0, `{"tokens":["nobody has this","990018"],"data":1}`)
		s.deliver(0, `{"tokens":[],"data":1}`)
		if n := one.count("message"); n != 2 {
			t.Errorf("the first page got %d messages, two were for it:\n%s", n, one.story())
		}

		s.down()
		s.start()
		all(pages, "disconnect")
		all(pages, "login", `"ok":true`)                            // from its own connect handler
		storetest.EventuallyWithin(t, 30*time.Second, func() bool { // until it is known that the process before is dead, its sockets are counted too
			var now struct{ Sockets int }
			s.must("GET", "/api/v1/presence/summary", nil, &now)
			return now.Sockets == 3
		}, "sessions of the process before are still open")
		s.deliver(4, `{"tokens":["only a token",990017,`+string(quoted)+`],"data":"after the restart"}`)
		all(pages, "message", `"after the restart"`)
		two.do("close")
		storetest.Eventually(t, func() bool { return s.metric("rollcall_sockets") == 3 }, "the closed page is still counted")
		s.deliver(1, `{"tokens":[`+string(quoted)+`],"data":"to the one that is left"}`)
		one.sees("message", `"to the one that is left"`)
		storetest.Show(t, "S6: bare io(), tokens that are no user ids, a number, and no user at all, across a restart")
	})
}

// deliver is POST /api as the gateway's callers send it: JSON that says it is a form.
func (s *field) deliver(want int, body string) {
	s.t.Helper()
	var done struct{ Delivered *int }
	s.must("POST", "/api", body, &done, "Content-Type", "application/x-www-form-urlencoded")
	if done.Delivered == nil || *done.Delivered != want {
		got := "nothing"
		if done.Delivered != nil {
			got = fmt.Sprint(*done.Delivered)
		}
		s.t.Errorf("%s was delivered to %s sockets, want %d", body, got, want)
	}
}

// The backend of S2 and S6 is Java with plain HttpURLConnection: no PATCH, and its own idea of headers.
func TestJavaBackend(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatal("java is not installed: run scripts/install")
	}
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	inTheField(t, nil, func(t *testing.T, s *field) {
		anna, gateway := s.page("s2", "7", "42"), s.page("s6", `"jt-7"`, "7")
		anna.sees("note_tree", `"onLineNumber":1`)
		gateway.sees("login", `"ok":true`)
		begin := time.Now()
		out, err := exec.CommandContext(t.Context(), java, filepath.Join(root, "test", "java", "Backend.java"), s.base).CombinedOutput()
		if err != nil {
			t.Fatalf("run the backend: %v\n%s", err, out)
		}
		want := []string{
			`POST /api/v1/conferences/42/tree 200 {.*"changed":\["conferenceStatus","conferenceInfo","topicInfo"\].*}`,
			`PUT /api/v1/conferences/42/tree/topicInfo 200 {.*"version":.*}`,
			`POST /api/v1/push 202 {"id":"\w+","audience":2,"online":1}`,
			`POST /api 200 {"delivered":1}`,
			`POST /api/v1/push 422 {.*"code":"reserved_event".*}`,
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("the backend printed\n%s", out)
		}
		for i, line := range lines {
			if !regexp.MustCompile("^" + want[i] + "$").MatchString(line) {
				t.Errorf("the backend was answered\n%s\nwant\n%s", line, want[i])
			}
		}
		anna.sees("note_tree", `"conferenceStatus":"1"`, `"text":"Tab\there\nand a line: 预算"`, `"topicInfo":{"title":"Second","id":1234567}`)
		anna.sees("vote_start", `{"subject":"预算","options":["yes","no"]}`)
		gateway.sees("message", `"order" {"orderId":12}`)
		storetest.Show(t, "a Java program with HttpURLConnection pushed a tree and messages, in %v with its compiler", time.Since(begin).Round(100*time.Millisecond))
	})
}
