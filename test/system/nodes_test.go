package system_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// beside starts another node on the database and the Redis of s.
func (s *server) beside() *server {
	s.t.Helper()
	other := &server{t: s.t, path: s.path, env: s.env, db: s.db, key: s.key, file: s.file, told: s.told}
	other.start()
	return other
}

// says matches an event whose first argument has this text in it.
func says(text string) func([]json.RawMessage) bool {
	return func(args []json.RawMessage) bool { return len(args) > 0 && strings.Contains(string(args[0]), text) }
}

// Whatever is said, changed or ended on one node reaches the sockets of the other, with Redis and, a little later, without.
func TestTwoNodes(t *testing.T) {
	for name, with := range map[string]settings{
		"with Redis":    {"cluster.poll_interval": "5s", "presence.node_heartbeat": "500ms", "presence.node_timeout": "10s", "presence.grace": "1s", "socket.max_sessions_per_user": "3"},
		"without Redis": {"cluster.poll_interval": "300ms", "redis.addr": "", "presence.node_heartbeat": "500ms", "presence.node_timeout": "10s", "presence.grace": "1s", "socket.max_sessions_per_user": "3"},
	} {
		t.Run(name, func(t *testing.T) {
			a := launch(t, store.MySQL, with)
			p := &pairOfNodes{t: t, a: a, b: a.beside(), driver: clienttest.Start(t)}
			p.roomsAreOne()
			p.peopleAreReached()
			p.everybodyIsReached()
			p.readMarksFollow()
			p.socketsEnd()
		})
	}
}

// pairOfNodes is two nodes, and anna on the first, ben on the second, both in conference 42.
type pairOfNodes struct {
	t         *testing.T
	a, b      *server
	driver    *clienttest.Driver
	anna, ben *clienttest.Client
}

func (p *pairOfNodes) at(s *server, user, conference string) *clienttest.Client {
	p.t.Helper()
	return p.driver.Connect(p.t, clienttest.Options{URL: s.base, AutoAck: true, Transports: []string{"websocket"}, Query: map[string]string{"userId": user, "conferenceId": conference, "userName": user}})
}

// roomsAreOne tries what a conference shows and says.
func (p *pairOfNodes) roomsAreOne() {
	t := p.t
	p.anna = p.at(p.a, "anna", "42")
	p.ben = p.at(p.b, "ben", "42")
	p.anna.Wait(t, "online_notice", says(`"ben"`))
	p.anna.Wait(t, "note_tree", number(2))
	p.ben.Wait(t, "note_tree", number(2))
	p.a.must("PATCH", "/api/v1/conferences/42/tree", `{"topicInfo":{"title":"by a"}}`, nil)
	p.ben.Wait(t, "note_tree", says("by a"))
	p.b.must("PATCH", "/api/v1/conferences/42/tree", `{"topicInfo":{"title":"by b"}}`, nil)
	p.anna.Wait(t, "note_tree", says("by b"))
	for i, from := range []*clienttest.Client{p.anna, p.ben} {
		words := fmt.Sprintf("hello %d", i)
		from.EmitAck(t, "chat message", words)
		p.anna.Wait(t, "chat message", says(words))
		p.ben.Wait(t, "chat message", says(words))
	}
	p.b.must("POST", "/api/v1/conferences/42/timer", `{"action":"start","durationMs":50}`, nil)
	p.anna.Wait(t, "timer_finished", nil)
	p.ben.Wait(t, "timer_finished", nil)
	carl := p.at(p.b, "carl", "42")
	p.anna.Wait(t, "online_notice", says(`"carl"`))
	carl.Close(t)
	p.anna.Wait(t, "offline_notice", says(`"carl"`))
	p.anna.Wait(t, "note_tree", number(2))
}

// peopleAreReached tries what is said to somebody on the other node, and what is answered of it.
func (p *pairOfNodes) peopleAreReached() {
	t := p.t
	var sent struct {
		ID                       string
		Audience, Online, Queued int
	}
	p.a.must("POST", "/api/v1/notices", `{"to":{"users":["ben","nobody"]},"title":"by a","requireAck":true}`, &sent)
	if sent.Audience != 2 || sent.Online != 1 || sent.Queued != 1 {
		t.Errorf("a notice to one on the other node and one who is away: %+v", sent)
	}
	p.ben.Wait(t, "notice", says("by a"))
	p.becomes(sent.ID, "ben", "acked")
	p.a.must("DELETE", "/api/v1/notices/"+sent.ID, nil, nil)
	p.ben.Wait(t, "notice_recalled", says(sent.ID))
	p.b.must("POST", "/api/v1/notices", `{"to":{"users":["anna"]},"store":false,"title":"passing"}`, &sent)
	p.anna.Wait(t, "notice", says("passing"))
	p.becomes(sent.ID, "anna", "acked")
	p.b.must("POST", "/api/v1/notices", fmt.Sprintf(`{"to":{"users":["anna"]},"title":"later","sendAt":%d}`, time.Now().Add(300*time.Millisecond).UnixMilli()), nil)
	p.anna.Wait(t, "notice", says("later"))
	said := p.anna.EmitAck(t, "direct_message", map[string]any{"to": "ben", "body": "psst"})
	if !says(`"delivered":1`)(said) {
		t.Errorf("a direct message to the other node is answered %s", said)
	}
	p.ben.Wait(t, "direct_message", says("psst"))
	p.ben.EmitAck(t, "todo", map[string]any{"receiver_id": "anna", "what": "tidy up"})
	p.anna.Wait(t, "todo_message", says("tidy up"))
	var pushed struct{ Audience, Online int }
	p.a.must("POST", "/api/v1/push", `{"userIds":["ben"],"message":{"x":1},"destination":"old_event","conferenceId":"42"}`, &pushed)
	if pushed.Online != 1 {
		t.Errorf("a push to the other node: %+v", pushed)
	}
	p.ben.Wait(t, "old_event", says(`{"x":1}`))
	p.ben.EmitAck(t, "user_login", map[string]any{"userId": "ben", "tokenId": "token of ben"})
	var delivered struct{ Delivered int }
	p.a.must("POST", "/api", `{"tokens":["token of ben","anna"],"data":"D"}`, &delivered)
	if delivered.Delivered != 2 {
		t.Errorf("delivered to %d of 2 sockets", delivered.Delivered)
	}
	p.ben.Wait(t, "receive_message", says(`"D"`))
	p.anna.Wait(t, "receive_message", says(`"D"`))
}

// becomes waits until the ledger says of a notice what is to become of it for a user.
func (p *pairOfNodes) becomes(id, user, state string) {
	p.t.Helper()
	storetest.Eventually(p.t, func() bool {
		var page struct {
			Items []struct{ UserID, State, SessionID string }
		}
		p.a.must("GET", "/api/v1/notices/"+id+"/deliveries", nil, &page)
		for _, d := range page.Items {
			if d.UserID == user {
				return d.State == state && d.SessionID != ""
			}
		}
		return false
	}, user+" has not "+state+" the notice")
}

// everybodyIsReached tries what goes to all.
func (p *pairOfNodes) everybodyIsReached() {
	t := p.t
	lost := p.driver.Connect(t, clienttest.Options{URL: p.b.base, Transports: []string{"websocket"}}) // nobody, in the lobby
	p.a.must("POST", "/api/v1/notices", `{"to":{"all":true},"title":"to all"}`, nil)
	p.ben.Wait(t, "notice", says("to all"))
	lost.Wait(t, "notice", says("to all"))
	var pushed struct{ Online int }
	p.b.must("POST", "/api/v1/push/all", `{"message":"M","destination":"old_all"}`, &pushed)
	if pushed.Online != 2 {
		t.Errorf("a push to all found %d users", pushed.Online)
	}
	p.anna.Wait(t, "old_all", nil)
	lost.Wait(t, "old_all", nil)
	other := p.driver.Connect(t, clienttest.Options{URL: p.a.base, Transports: []string{"websocket"}})
	other.EmitAck(t, "chat message", "from the lobby")
	lost.Wait(t, "chat message", says("from the lobby"))
	other.Close(t)
	lost.Close(t)
}

// readMarksFollow tries that what is read on one device shows on another, on the other node.
func (p *pairOfNodes) readMarksFollow() {
	t := p.t
	phone := p.at(p.b, "anna", "")
	var sent struct{ ID string }
	p.b.must("POST", "/api/v1/notices", `{"to":{"users":["anna"]},"title":"on both"}`, &sent)
	p.anna.Wait(t, "notice", says("on both"))
	phone.Wait(t, "notice", says("on both"))
	before := len(phone.Events("push_message"))
	p.anna.EmitAck(t, "notice_read", map[string]any{"all": true})
	storetest.Eventually(t, func() bool {
		events := phone.Events("push_message")
		return len(events) > before && says(`"total":0`)(events[len(events)-1].Args)
	}, "the other device was not told what is unread")
	phone.Close(t)
}

// socketsEnd tries what ends sockets on the other node.
func (p *pairOfNodes) socketsEnd() {
	t := p.t
	ends := func(c *clienttest.Client, reason string) {
		t.Helper()
		c.Wait(t, "kicked", says(reason))
		if e := c.WaitDisconnect(t); e.Reason != "io server disconnect" {
			t.Errorf("after %s: %s", reason, e.Reason)
		}
	}
	dora := p.at(p.b, "dora", "43")
	var kicked struct{ Kicked int }
	p.a.must("POST", "/api/v1/users/dora/kick", `{"reason":"begone"}`, &kicked)
	ends(dora, "begone")
	emil := p.at(p.b, "emil", "43")
	session := emil.Wait(t, "welcome", nil)
	var welcome struct{ SessionID string }
	if err := json.Unmarshal(session.Args[0], &welcome); err != nil {
		t.Fatal(err)
	}
	p.a.must("POST", "/api/v1/sessions/"+welcome.SessionID+"/disconnect", nil, &kicked)
	ends(emil, "kicked")
	if kicked.Kicked != 1 {
		t.Errorf("%d sockets were disconnected", kicked.Kicked)
	}
	var fritz []*clienttest.Client // more than a user may have, over both nodes
	for i := range 4 {
		fritz = append(fritz, p.at([]*server{p.b, p.b, p.b, p.a}[i], "fritz", "44"))
	}
	ends(fritz[0], "too_many_sessions")
	p.a.must("PUT", "/api/v1/conferences/42", `{"ended":true}`, nil)
	p.ben.Wait(t, "conference_ended", nil)
	p.a.must("DELETE", "/api/v1/conferences/42", nil, nil)
	ends(p.ben, "conference_deleted")
	ends(p.anna, "conference_deleted")
	// Nobody whose socket has ended is opened again by the comparison of sockets and rows.
	storetest.Eventually(t, func() bool {
		var s struct{ Sockets, Users int }
		p.b.must("GET", "/api/v1/presence/summary", nil, &s)
		return s.Sockets == 3 && s.Users == 1
	}, "somebody is left")
}
