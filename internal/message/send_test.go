package message

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A notice reaches every fitting socket of its users, waits for the others, and the ledger says so.
func TestSend(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		phone, tab := b.sit("anna", "42", "app"), b.sit("anna", "7", "web")
		if err := b.Presence.PutUsers(t.Context(), users("boss", "The Boss")); err != nil {
			t.Fatal(err)
		}
		sent := b.post(Notice{Users: []string{"anna", "ben", "anna", "carl"}, Except: []string{"carl"}, SenderID: "boss", Title: "Hi", Data: json.RawMessage(`{"n": 12345678901234567890.10}`), TTL: time.Hour})
		if want := (Sent{sent.ID, 2, 1, 1}); sent != want {
			t.Errorf("got %+v, want %+v", sent, want)
		}
		for _, s := range []hall.Socket{phone, tab} {
			e := b.hears(s, "notice", 1)[0]
			n := read(t, e.args[0])
			created, _ := n["createdAt"].(float64)
			want := map[string]any{"id": sent.ID, "event": "notice", "category": "system", "conferenceId": "", "senderId": "boss", "senderName": "The Boss", "title": "Hi", "body": "",
				"data": n["data"], "requireAck": false, "createdAt": created, "expiresAt": created + 3_600_000}
			if diff := cmp.Diff(want, n); diff != "" || len(e.args) != 1 || e.noticeID != sent.ID {
				t.Errorf("what %s hears (-want +got): %s", s.ClientType, diff)
			}
			if !json.Valid(e.args[0]) || !contains(e.args[0], `"data":{"n":12345678901234567890.10}`) {
				t.Errorf("digits were lost: %s", e.args[0])
			}
		}
		if d := b.became(sent.ID, "anna"); d.State != notice.Sent || d.SessionID != phone.SessionID || d.DeviceID != "d-anna" || d.IP != "192.0.2.1" {
			t.Errorf("anna: %+v", d)
		}
		if d := b.became(sent.ID, "ben"); d.State != notice.Queued {
			t.Errorf("ben: %+v", d)
		}
		scoped := b.post(Notice{Conference: "42", ConferenceID: "42", ClientTypes: []string{"app"}, Except: []string{"ben"}})
		b.hears(phone, "notice", 2)
		if n := len(b.hall.of(tab.SessionID, "")); n != 1 || scoped.Audience != 1 || scoped.Online != 1 {
			t.Errorf("a notice to one conference and type: %+v, the tab hears %d", scoped, n)
		}
	})
}

// What the backend sends raw, or under a name of its own, reaches listeners byte for byte; the notice comes second.
func TestNamedAndRaw(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	s := b.sit("anna", "", "web")
	data := json.RawMessage("{ \"big\" : 98765432109876543210, \"t\":\"<&\u2028\" }")
	sent := b.post(Notice{Users: []string{"anna"}, Event: "exam", Data: data, RequireAck: true})
	e := b.hears(s, "exam", 1)[0]
	if len(e.args) != 2 || string(e.args[0]) != string(data) {
		t.Fatalf("the listener sees %s", e.args)
	}
	n := read(t, e.args[1])
	if _, has := n["data"]; has || n["id"] != sent.ID || n["event"] != "exam" || n["requireAck"] != true || n["expiresAt"] != nil {
		t.Errorf("the notice beside: %v", n)
	}
	b.post(Notice{Users: []string{"anna"}, Raw: true})
	if e := b.hears(s, "notice", 1)[0]; len(e.args) != 2 || string(e.args[0]) != "null" {
		t.Errorf("raw without data: %s", e.args)
	}
	page, err := b.Inbox(t.Context(), notice.View{UserID: "anna", Whole: true}, notice.InboxQuery{})
	if err != nil || len(page.Items) != 2 || string(page.Items[1].Data) != string(data) || page.Items[1].Event != "exam" || string(page.Items[0].Data) != "null" {
		t.Errorf("in the inbox: %+v, %v", page.Items, err)
	}
}

func TestSendRefuses(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	for _, c := range []struct {
		name string
		n    Notice
		code string
	}{
		{"nobody", Notice{}, "empty_audience"},
		{"nobody is left", Notice{Users: []string{"anna"}, Except: []string{"anna"}}, "empty_audience"},
		{"a conference without anybody left", Notice{Conference: "42", Except: []string{"anna", "ben"}}, "empty_audience"},
		{"over at once", Notice{Users: []string{"anna"}, TTL: -1}, "expired"},
		{"over before it is sent", Notice{Users: []string{"anna"}, SendAt: 1000, TTL: -time.Second}, "expired"},
		{"attend_login later", Notice{Users: []string{"anna"}, Event: "attend_login", SendAt: time.Now().Add(time.Hour).UnixMilli()}, "bad_payload"},
	} {
		c.n.Category = "system"
		if c.n.Event == "" {
			c.n.Event = "notice"
		}
		if _, err := b.Send(t.Context(), c.n); fault.Of(err) == nil || fault.Of(err).Code != c.code {
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
	if list, _, err := b.Notices.Find(t.Context(), notice.Filter{}); err != nil || len(list) != 0 {
		t.Errorf("refused ones are in the log: %v, %v", list, err)
	}
}

// To all is one row: whoever is here hears it, whoever comes later has it in the inbox.
func TestToAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		anna, ben := b.sit("anna", "", "web"), b.sit("ben", "", "web")
		if err := b.Presence.PutUsers(t.Context(), users("anna", "", "ben", "", "carl", "")); err != nil {
			t.Fatal(err)
		}
		sent := b.post(Notice{All: true, Except: []string{"ben"}})
		if want := (Sent{sent.ID, 2, 1, 1}); sent != want {
			t.Errorf("got %+v, want %+v", sent, want)
		}
		b.hears(anna, "notice", 1)
		dora := b.arrive("dora", "", "web")
		if p := read(t, b.hears(dora, "push_message", 1)[0].args[0]); len(p["items"].([]any)) != 1 || p["more"] != false {
			t.Errorf("who came later: %v", p)
		}
		b.arrive("ben", "", "web")
		b.settled()
		if n := len(b.hall.of(ben.SessionID, "notice")); n != 0 {
			t.Errorf("who is excepted heard it %d times", n)
		}
		if list, _, err := b.Notices.Deliveries(t.Context(), sent.ID, "", 10); err != nil || len(list) != 0 {
			t.Errorf("rows per user: %v, %v", list, err)
		}
		b.Acked(dora, sent.ID)
		b.becomes(sent.ID, "dora", notice.Acked)
	})
}

// People arrive at the very moment at which they are sent a notice: each has it, emitted or in his push_message.
func TestArrivalAgainstSending(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const people = 4
		rounds := storetest.Size(500, 15)
		emitted, pushed := 0, 0
		for round := range rounds {
			var work sync.WaitGroup
			sockets := make([]hall.Socket, people)
			names := make([]string, people)
			for i := range people {
				names[i] = fmt.Sprintf("u%d-%d", round, i)
				work.Go(func() {
					<-time.After(rand.N(6 * time.Millisecond))
					sockets[i] = b.arrive(names[i], "", "web")
				})
			}
			<-time.After(rand.N(3 * time.Millisecond))
			sent := b.post(Notice{Users: names})
			work.Wait()
			for _, s := range sockets {
				storetest.Eventually(t, func() bool { return len(b.hall.of(s.SessionID, "")) > 0 }, s.UserID+" never got what was said")
				for _, e := range b.hall.of(s.SessionID, "") {
					if e.event == "notice" {
						emitted++
					} else {
						pushed++
					}
				}
				b.becomes(sent.ID, s.UserID, notice.Sent)
				b.leave(s)
			}
			b.hall.do(func() { b.hall.heard = nil })
		}
		storetest.Show(t, "%d users arrived while they were sent a notice: none missed it, %d got it emitted, %d by push_message", rounds*people, emitted, pushed)
	})
}

// A process that dies between commit and emission loses nothing: who comes back finds it.
func TestKilledBeforeEmission(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.sit("anna", "", "web")
		b.hall.do(func() { b.hall.deaf = true })
		sent := b.post(Notice{Users: []string{"anna"}, RequireAck: true})
		b.stop()

		next := open(t, db)
		s := next.arrive("anna", "", "web")
		p := read(t, next.hears(s, "push_message", 1)[0].args[0])
		if item := p["items"].([]any)[0].(map[string]any); item["id"] != sent.ID || item["read"] != false {
			t.Errorf("what waits: %v", p)
		}
		if e := next.hears(s, "notice", 1)[0]; e.noticeID != sent.ID {
			t.Errorf("what must be acknowledged: %+v", e)
		}
		next.becomes(sent.ID, "anna", notice.Sent)
	})
}

// The look before the commit and the emission differ: the ledger says in the end what happened.
func TestLedgerIsCorrected(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		gone := b.sit("anna", "", "web")
		var here hall.Socket
		l, err := b.letterOf(t.Context(), Notice{Event: "notice", Category: "system"}, []string{"anna", "ben"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.address(t.Context(), &l, b.hall.Find(l.to)); err != nil {
			t.Fatal(err)
		}
		_, err = b.Notices.Post(t.Context(), notice.Posting{Entry: l.entry, After: func(notice.Posted) {
			b.leave(gone)
			here = b.sit("ben", "", "web")
			b.goOut(l)
		}})
		if err != nil {
			t.Fatal(err)
		}
		b.becomes(l.entry.ID, "anna", notice.Queued)
		b.becomes(l.entry.ID, "ben", notice.Sent)
		if d := b.became(l.entry.ID, "ben"); d.SessionID != here.SessionID {
			t.Errorf("ben: %+v", d)
		}
		if e, err := b.Notices.Get(t.Context(), l.entry.ID); err != nil || e.Sent != 1 {
			t.Errorf("the sum: %+v, %v", e, err)
		}
	})
}
