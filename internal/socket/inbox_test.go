package socket

import (
	"encoding/json"
	"strings"
	"testing"

	"rollcall/internal/id"
	"rollcall/internal/message"
	"rollcall/internal/notice"
	"rollcall/internal/storetest"
)

var inboxQuery notice.InboxQuery

func wholeInbox(user string) notice.View { return notice.View{UserID: user, Whole: true} }

// What is read on one device is read on the others; ids that are not the user's change nothing.
func TestReadOnOneDeviceShowsOnTheOthers(t *testing.T) {
	o := open(t, nil)
	pc, phone := o.enter(t, "EIO=4&userId=anna&clientType=pc"), o.enter(t, "EIO=4&userId=anna&clientType=app")
	var ids []string
	for _, category := range []string{"system", "remind", "remind"} {
		ids = append(ids, o.send(t, message.Notice{Users: []string{"anna"}, Category: category, Data: json.RawMessage(`{"n":12345678901234567890}`)}))
	}
	foreign := o.send(t, message.Notice{Users: []string{"ben"}})

	box := pc.ask("inbox", `{"limit":2}`)
	if !box.OK || len(box.Items) != 2 || box.Next == nil || box.Unread.Total != 3 || !strings.Contains(string(box.Items[0]), `"id":"`+ids[2]+`"`) || !strings.Contains(string(box.Items[0]), `"data":{"n":12345678901234567890}`) {
		t.Fatal(box.text)
	}
	if rest := pc.ask("inbox", `{"limit":2,"cursor":"`+*box.Next+`"}`); len(rest.Items) != 1 || rest.Next != nil {
		t.Error(rest.text)
	}
	if a := pc.ask("notice_read", `{"ids":["`+foreign+`","`+id.New()+`","nonsense"]}`); a.OK && a.Unread.Total != 3 {
		t.Errorf("foreign ids changed something: %s", a.text)
	}
	if a := pc.ask("notice_read", `{"ids":["`+ids[0]+`"]}`); !a.OK || a.Unread.Total != 2 || a.Unread.ByCategory["remind"] != 2 || len(a.Unread.ByCategory) != 1 {
		t.Error(a.text)
	}
	p := phone.pushed()
	for len(p.Items) != 0 { // what was there when it came
		p = phone.pushed()
	}
	if p.Unread.Total != 2 || p.More {
		t.Errorf("the other device was told %+v", p)
	}
	if a := pc.ask("notice_ack", `{"ids":["`+ids[1]+`"]}`); !a.OK || a.Unread.Total != 2 {
		t.Errorf("had is not read: %s", a.text)
	}
	if a := pc.ask("notice_read", `{"all":true,"category":"remind"}`); !a.OK || a.Unread.Total != 0 {
		t.Error(a.text)
	}
	if a := phone.ask("notice_read", `{"ids":[]}`); !a.OK || a.Unread.Total != 0 {
		t.Errorf("an empty list: %s", a.text)
	}
	if a := phone.ask("inbox", `{"unreadOnly":true}`); len(a.Items) != 0 || !strings.Contains(a.text, `"items":[]`) || !strings.Contains(a.text, `"byCategory":{}`) {
		t.Error(a.text)
	}
	storetest.Eventually(t, func() bool { return o.fate(t, ids[2], "anna") == "read" }, "the ledger does not know that it was read")
	if got := o.fate(t, foreign, "ben"); got != "queued" {
		t.Errorf("the notice of another user is %s", got)
	}
}

// What waits for a user is pushed when he connects, when he is named, and when he asks for what was read too.
func TestPushMessage(t *testing.T) {
	o := open(t, nil)
	read := o.send(t, message.Notice{Users: []string{"anna"}, Title: "one"})
	unread := o.send(t, message.Notice{Users: []string{"anna"}, Title: "two"})
	p := o.enterWaiting(t, "EIO=4&userId=anna")
	if p.Unread.Total != 2 || len(p.Items) != 2 || p.Items[0].ID != unread || p.Items[1].ID != read {
		t.Fatalf("on connect came %+v", p)
	}
	late := o.enter(t, "EIO=3")
	if a, args := late.askBoth("user_login", `{"userId":"anna"}`, "push_message"); !a.OK || a.Unread.Total != 2 || len(readPush(t, args).Items) != 2 {
		t.Errorf("a late name was answered %s, %s", a.text, args)
	}
	late.silent("push_message") // it came twice: for the seat, and in answer
	late.ask("notice_read", `{"ids":["`+read+`"]}`)
	next := o.enter(t, "EIO=4&userId=anna&conferenceId=42")
	if _, args := next.askBoth("user_login", `{"include":"all"}`, "push_message"); len(readPush(t, args).Items) == 0 {
		t.Errorf("all came as %s", args)
	}
	// Nothing unread is said on request only.
	ben := o.enter(t, "EIO=4&userId=ben")
	if a, args := ben.askBoth("user_login", `{}`, "push_message"); !a.OK || a.Unread.Total != 0 || readPush(t, args).Unread.Total != 0 {
		t.Errorf("nothing was said as %s, %s", a.text, args)
	}
}
