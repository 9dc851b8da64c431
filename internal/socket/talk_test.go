package socket

import (
	"encoding/json"
	"strings"
	"testing"
)

// What is said in a conference is heard by everybody there, whoever said it included, and by nobody else; it is not
// touched. Those without a conference, named or not, are in one lobby.
func TestChat(t *testing.T) {
	o := open(t, nil)
	anna, ben := o.enter(t, "EIO=4&userId=anna&userName=Anna&conferenceId=42"), o.enter(t, "EIO=3&userId=ben&conferenceId=42")
	watcher := o.enter(t, "EIO=4&is_system=1&conferenceId=42")
	bare, named := o.enter(t, "EIO=3"), o.enter(t, "EIO=4&userId=carl")

	for _, body := range []string{`"hi <&> \u00e9"`, `{"n":12345678901234567890,"s":[1e400]}`} {
		a := anna.ask("chat message", body)
		if !a.OK || a.ID == "" {
			t.Fatal(a.text)
		}
		for name, c := range map[string]*webSocketClient{"ben": ben, "the watcher": watcher} {
			args, _ := c.said("chat message")
			var by struct {
				ID, UserID, UserName string
				At                   int64
			}
			if err := json.Unmarshal(args[1], &by); err != nil || string(args[0]) != body || by.ID != a.ID || by.UserID != "anna" || by.UserName != "Anna" || by.At == 0 {
				t.Errorf("%s heard %s, %v", name, args, err)
			}
		}
	}
	said, heard := anna.askBoth("chat message", `"me too"`, "chat message")
	if !said.OK || string(heard[0]) != `"me too"` && string(heard[0]) != `"hi <&> \u00e9"` {
		t.Errorf("the speaker heard %s", heard)
	}
	if a := watcher.ask("chat message", `"from the wall"`); !a.OK {
		t.Error(a.text)
	}
	for args := []json.RawMessage{nil}; string(args[0]) != `"from the wall"`; {
		args, _ = ben.said("chat message")
	}
	if a := bare.ask("chat message", `"is anybody here"`); !a.OK {
		t.Error(a.text)
	}
	if args, _ := named.said("chat message"); string(args[0]) != `"is anybody here"` || !strings.Contains(string(args[1]), `"userId":""`) {
		t.Errorf("the lobby heard %s", args)
	}
	ben.silent("chat message")
}

// Who leaves a conference speaks in the lobby, and who comes in does not hear it any more.
func TestChatFollowsThePlace(t *testing.T) {
	o := open(t, nil)
	anna, ben := o.enter(t, "EIO=4&userId=anna&conferenceId=42"), o.enter(t, "EIO=4&userId=ben")
	anna.ask("leave")
	anna.ask("chat message", `"outside"`)
	if args, _ := ben.said("chat message"); string(args[0]) != `"outside"` {
		t.Errorf("the lobby heard %s", args)
	}
	if a := ben.ask("user_login", `{"conferenceId":"42"}`); !a.OK {
		t.Fatal(a.text)
	}
	anna.ask("chat message", `"still outside"`)
	ben.silent("chat message")
}

// The history is that of the place where one is, newest first, page by page.
func TestChatHistory(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1000 })
	anna, outside := o.enter(t, "EIO=4&userId=anna&userName=Anna&conferenceId=42"), o.enter(t, "EIO=4")
	for i := range 5 {
		anna.ask("chat message", itoa(i)) // refused: neither text nor object
		anna.ask("chat message", `"`+itoa(i)+`"`)
	}
	outside.ask("chat message", `{"in":"the lobby"}`)
	got, before := "", ""
	for range 3 {
		page := anna.ask("chat_history", `{"limit":2`+before+`}`)
		for _, item := range page.Items {
			var line struct {
				Body                 string
				ID, UserID, UserName string
				At                   int64
			}
			if err := json.Unmarshal(item, &line); err != nil || line.UserID != "anna" || line.UserName != "Anna" || line.ID == "" || line.At == 0 {
				t.Errorf("a line is %s, %v", item, err)
			}
			got += line.Body
		}
		if page.Next == nil {
			break
		}
		before = `,"before":"` + *page.Next + `"`
	}
	if got != "43210" {
		t.Errorf("the history is %q", got)
	}
	if page := outside.ask("chat_history"); len(page.Items) != 1 || !strings.Contains(string(page.Items[0]), `"body":{"in":"the lobby"}`) {
		t.Errorf("the history of the lobby is %s", page.text)
	}
}

// However many lines are asked for, an answer ends when it is large, and the next page begins where it ended. It had up to
// 200 lines of 64 KiB each.
func TestLongChatHistory(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1000 })
	anna := o.enter(t, "EIO=4&userId=anna&conferenceId=42")
	for i := range 6 {
		if a := anna.ask("chat message", `"`+itoa(i)+strings.Repeat("x", 60_000)+`"`); !a.OK {
			t.Fatal(a.text)
		}
	}
	got, before := "", ""
	for _, want := range []int{4, 2} {
		page := anna.ask("chat_history", `{"limit":200`+before+`}`)
		if len(page.Items) != want || len(page.text) > 300_000 {
			t.Errorf("%d lines in %d bytes", len(page.Items), len(page.text))
		}
		for _, item := range page.Items {
			got += string(item)[len(`{"body":"`):][:1]
		}
		if page.Next != nil {
			before = `,"before":"` + *page.Next + `"`
		}
	}
	if got != "543210" {
		t.Errorf("the history is %q", got)
	}
}

// A direct message reaches every socket of its addressee; if there is none it waits, and the sender is told. The same
// number again is the same message.
func TestDirectMessage(t *testing.T) {
	o := open(t, nil)
	anna := o.enter(t, "EIO=4&userId=anna&userName=Anna")
	pc, phone := o.enter(t, "EIO=4&userId=7&clientType=pc"), o.enter(t, "EIO=3&userId=7&clientType=app&conferenceId=42")
	a := anna.ask("direct_message", `{"to":7,"body":{"n":12345678901234567890},"clientMsgId":"m1"}`)
	if !a.OK || a.ID == "" || a.Delivered != 2 || a.Queued || strings.Contains(a.text, "reason") {
		t.Fatal(a.text)
	}
	for _, c := range []*webSocketClient{pc, phone} {
		args, _ := c.said("direct_message")
		for _, part := range []string{`"id":"` + a.ID + `"`, `"from":"anna"`, `"fromName":"Anna"`, `"body":{"n":12345678901234567890}`, `"at":`} {
			if !strings.Contains(string(args[0]), part) {
				t.Errorf("%s lacks %s", args[0], part)
			}
		}
	}
	if again := anna.ask("direct_message", `{"to":7,"body":{"n":12345678901234567890},"clientMsgId":"m1"}`); again.ID != a.ID {
		t.Errorf("the same number made another message: %s", again.text)
	}
	pc.silent("direct_message")
	a = anna.ask("direct_message", `{"to":"away","body":"are you there?"}`)
	if !a.OK || a.Delivered != 0 || !a.Queued || a.Reason != "offline" {
		t.Error(a.text)
	}
	p := o.enterWaiting(t, "EIO=4&userId=away")
	if p.Unread.Total != 1 || len(p.Items) != 1 || p.Items[0].ID != a.ID || p.Items[0].Category != "mailbox" {
		t.Errorf("who was away is told %+v", p)
	}
}

// enterWaiting connects somebody for whom something waits, and returns it.
func (o *opened) enterWaiting(t *testing.T, query string) pushMessage {
	t.Helper()
	c := o.dial(t, query)
	c.write("40")
	return c.pushed()
}

// A task is stored first; its receiver gets the sender's own object.
func TestTodo(t *testing.T) {
	o := open(t, nil)
	anna, ben := o.enter(t, "EIO=4&userId=anna"), o.enter(t, "EIO=4&userId=ben")
	a := anna.ask("todo", `{"receiver_id":"ben","what":{"n":12345678901234567890},"senderId":"somebody else"}`)
	if !a.OK || a.Delivered != 1 || a.Queued {
		t.Fatal(a.text)
	}
	args, _ := ben.said("todo_message")
	for _, part := range []string{`"id":"` + a.ID + `"`, `"senderId":"anna"`, `"receiver_id":"ben"`, `"what":{"n":12345678901234567890}`, `"createdAt":`} {
		if !strings.Contains(string(args[0]), part) {
			t.Errorf("%s lacks %s", args[0], part)
		}
	}
	if a = anna.ask("todo", `{"receiver_id":77}`); !a.OK || a.Delivered != 0 || !a.Queued {
		t.Error(a.text)
	}
	if p := o.enterWaiting(t, "EIO=4&userId=77"); p.Unread.ByCategory["remind"] != 1 {
		t.Errorf("the receiver is told %+v", p)
	}
}

// What cannot be said is answered so, and nothing is said.
func TestBadTalk(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1000 })
	anna, nobody := o.enter(t, "EIO=4&userId=anna&conferenceId=42"), o.enter(t, "EIO=4")
	for _, c := range [][3]string{
		{"bad_payload", "chat message", ""}, {"bad_payload", "chat message", "17"}, {"bad_payload", "chat message", "null"}, {"bad_payload", "chat message", "[]"},
		{"bad_payload", "chat message", "\"\xff\""},
		{"bad_payload", "chat_history", `{"limit":201}`}, {"bad_payload", "chat_history", `{"limit":-1}`}, {"bad_payload", "chat_history", `{"before":7}`}, {"bad_payload", "chat_history", `{"before":"x"}`}, {"bad_payload", "chat_history", `"x"`},
		{"bad_payload", "direct_message", ""}, {"bad_payload", "direct_message", `{"to":"ben"}`}, {"bad_payload", "direct_message", `{"body":1}`}, {"bad_payload", "direct_message", `{"to":"undefined","body":1}`},
		{"bad_payload", "direct_message", `{"to":"a b","body":1}`}, {"bad_payload", "direct_message", `{"to":["ben"],"body":1}`}, {"bad_payload", "direct_message", `{"to":"ben","body":null}`},
		{"bad_payload", "direct_message", `{"to":"ben","body":1,"clientMsgId":"` + strings.Repeat("x", 65) + `"}`}, {"bad_payload", "direct_message", `{"to":"ben","body":1,"clientMsgId":"a\u0000"}`}, {"bad_payload", "direct_message", `{"to":"ben","body":1,"clientMsgId":{}}`},
		{"bad_payload", "todo", ""}, {"bad_payload", "todo", `{}`}, {"bad_payload", "todo", `[]`}, {"bad_payload", "todo", `{"receiver_id":""}`}, {"bad_payload", "todo", `{"receiver_id":"a/b"}`},
		{"bad_payload", "notice_ack", ""}, {"bad_payload", "notice_ack", `{}`}, {"bad_payload", "notice_read", `{"all":false}`}, {"bad_payload", "notice_read", `{"ids":"x"}`}, {"bad_payload", "notice_read", `{"ids":["x"],"all":true}`}, {"bad_payload", "notice_read", `{"all":true,"category":"gossip"}`},
		{"bad_payload", "inbox", `{"limit":201}`}, {"bad_payload", "inbox", `{"cursor":"nonsense"}`}, {"bad_payload", "inbox", `{"category":"gossip"}`}, {"bad_payload", "inbox", `{"unreadOnly":"yes"}`},
		{"bad_payload", "user_login", `{"include":"some"}`}, {"bad_payload", "user_login", `{"tokenId":{}}`}, {"bad_payload", "user_login", `{"tokenId":"a\u0007"}`}, {"bad_payload", "user_login", `{"tokenId":"` + strings.Repeat("x", 513) + `"}`},
		{"bad_payload", "sign_in", `[]`}, {"bad_payload", "same_screen", ``}, {"bad_payload", "same_screen", `{"action":"pause"}`}, {"bad_payload", "receive_client_event", ` 17`},
	} {
		args := []string{}
		if c[2] != "" {
			args = append(args, c[2])
		}
		if a := anna.ask(c[1], args...); a.OK || a.Error.Code != c[0] || a.Error.Message == "" {
			t.Errorf("%s %.60s was answered %s, want %s", c[1], c[2], a.text, c[0])
		}
	}
	for event, arg := range map[string]string{
		"direct_message": `{"to":"ben","body":1}`, "todo": `{"receiver_id":"ben"}`, "inbox": `{}`, "notice_ack": `{"all":true}`, "notice_read": `{"ids":[]}`, "sign_in": `{}`, "same_screen": `{"action":"start"}`,
	} {
		if a := nobody.ask(event, arg); a.Error.Code != "forbidden" {
			t.Errorf("%s of a nobody was answered %s", event, a.text)
		}
	}
	if unread, err := o.messages.Inbox(t.Context(), wholeInbox("ben"), inboxQuery); err != nil || len(unread.Items) != 0 {
		t.Errorf("ben has got %+v, %v", unread, err)
	}
}

// A system client with a user may send, and what its own room is it shares.
func TestSystemClientMaySend(t *testing.T) {
	o := open(t, nil)
	system, ben := o.enter(t, "EIO=4&is_system=1&userId=robot"), o.enter(t, "EIO=4&userId=ben")
	if a := system.ask("direct_message", `{"to":"ben","body":"beep"}`); !a.OK || a.Delivered != 1 {
		t.Error(a.text)
	}
	if args, _ := ben.said("direct_message"); !strings.Contains(string(args[0]), `"from":"robot"`) {
		t.Errorf("ben got %s", args)
	}
	for _, event := range []string{"sign_in", "same_screen"} {
		if a := system.ask(event, `{"action":"start"}`); a.Error.Code != "forbidden" {
			t.Errorf("%s of a system client was answered %s", event, a.text)
		}
	}
	if a := ben.ask("sign_in"); a.Error.Code != "no_conference" {
		t.Errorf("sign_in in the lobby was answered %s", a.text)
	}
}
