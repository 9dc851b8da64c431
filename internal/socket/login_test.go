package socket

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"rollcall/internal/auth"
	"rollcall/internal/hall"
	"rollcall/internal/message"
	"rollcall/internal/presence"
	"rollcall/internal/storetest"
)

// A page names itself by a token that is no id of a user, alone or with one; data for that token reaches every page
// that named it, and no page by a token that it has given up.
func TestTokens(t *testing.T) {
	o := open(t, nil)
	bare, named, system := o.enter(t, "EIO=3"), o.enter(t, "EIO=4"), o.enter(t, "EIO=4&is_system=1")
	strange := `a b/<&>\u00e9`
	for _, c := range []struct {
		client *webSocketClient
		arg    string
	}{{bare, `{"tokenId":"` + strange + `"}`}, {named, `{"userId":"anna","socketId":"zzz","tokenId":"` + strange + `"}`}, {system, `{"tokenId":"` + strange + `"}`}} {
		if a := c.client.ask("user_login", c.arg); !a.OK || a.Unread.Total != 0 || !strings.Contains(a.text, `"byCategory":{}`) {
			t.Fatalf("%s was answered %s", c.arg, a.text)
		}
	}
	deliver := func(want int, tokens ...string) {
		t.Helper()
		n, err := o.messages.Deliver(t.Context(), message.Delivery{Tokens: tokens, EntityType: []byte(`3`), Data: []byte(`{"n":12345678901234567890}`)})
		if err != nil || n != want {
			t.Errorf("%q reached %d sockets, want %d (%v)", tokens, n, want, err)
		}
	}
	deliver(3, "a b/<&>é")
	for _, c := range []*webSocketClient{bare, named, system} {
		if args, _ := c.said("receive_message"); string(args[0]) != `{"entityType":3,"data":{"n":12345678901234567890}}` {
			t.Errorf("receive_message is %s", args)
		}
	}
	if a := bare.ask("user_login", `{"tokenId":12345678901234567890}`); !a.OK {
		t.Fatal(a.text)
	}
	deliver(2, "a b/<&>é")
	deliver(1, "12345678901234567890")
	deliver(1, "anna") // not a token of anybody, so a user
	deliver(0, "nobody")
	if a := named.ask("user_login", `{"tokenId":""}`); !a.OK {
		t.Errorf("a page without a token was answered %s", a.text)
	}
	deliver(2, "a b/<&>é")
	bare.silent("no such event")
}

// A system client may have a token, and is still nobody else.
func TestSystemClientLogin(t *testing.T) {
	o := open(t, nil)
	c := o.enter(t, "EIO=4&is_system=1&userId=robot&conferenceId=42")
	for _, arg := range []string{`{}`, `{"userId":"robot"}`, `{"userId":"anna","tokenId":"x"}`, `{"conferenceId":"43","tokenId":"x"}`} {
		if a := c.ask("user_login", arg); a.Error.Code != "forbidden" {
			t.Errorf("%s was answered %s", arg, a.text)
		}
	}
	if a := c.ask("user_login", `{"userId":"robot","conferenceId":42,"tokenId":"x"}`); !a.OK {
		t.Error(a.text)
	}
}

// A page that says who it is as soon as it is connected was sometimes cut off: its event came before the library knew the
// socket by its namespace.
func TestFirstEventRightAfterConnect(t *testing.T) {
	o := open(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(o.url, "http")+"/socket.io/?transport=websocket&EIO=3", nil)
				if err != nil {
					t.Error(err)
					return
				}
				for packet := ""; !strings.HasPrefix(packet, "431"); {
					_, text, err := conn.ReadMessage()
					if err != nil {
						t.Errorf("instead of the answer: %v", err)
						break
					}
					if packet = string(text); packet == "40" {
						_ = conn.WriteMessage(websocket.TextMessage, []byte(`421["user_login",{"tokenId":"x"}]`))
					}
				}
				_ = conn.Close()
			}
		})
	}
	all.Wait()
}

// With auth on a tokenId is nobody else's: not the id of a user who is known, by whatever, nor a name that a socket of
// another user has. Else POST /api would hand over what is addressed to him.
func TestTokenOfAnotherUser(t *testing.T) {
	o := locked(t, func(c *Config) { c.EventsPerSecond = 1000 })
	if err := o.house.Presence.PutUsers(t.Context(), []presence.User{{ID: "named", Name: "N"}}); err != nil {
		t.Fatal(err)
	}
	o.members(t, "42", "anna", "listed")
	anna, ben := o.enterWith(t, tokenOf(t, "anna"), "conferenceId=42"), o.enterWith(t, tokenOf(t, "ben"), "")
	robot := o.enterWith(t, signed(t, auth.Identity{UserID: "robot", System: true}), "is_system=1")
	gone := o.enterWith(t, tokenOf(t, "gone"), "")
	gone.write("41")
	storetest.Eventually(t, func() bool { return len(o.hall.rooms.in(userRoom("gone"))) == 0 }, "he does not go")
	for _, c := range []struct {
		client *webSocketClient
		alias  string
		ok     bool
	}{
		{anna, "anna", true}, {ben, "anna", false}, {robot, "anna", false}, {ben, "named", false}, {ben, "listed", false}, {ben, "gone", false}, {robot, "robot", true},
		{anna, "page-1", true}, {anna, "page-1", true}, {ben, "page-1", false}, {ben, "a page", true}, {anna, "a page", false}, {robot, "a page", false},
		{ben, "page-2", true}, {anna, "a page", true}, {ben, "a page", false}, {ben, "page-1", true}, {ben, "ben", true},
	} {
		a := c.client.ask("user_login", `{"tokenId":"`+c.alias+`"}`)
		if a.OK != c.ok || !c.ok && a.Error.Code != "forbidden" {
			t.Errorf("%s was answered %s, want ok %v", c.alias, a.text, c.ok)
		}
	}
	for alias, want := range map[string]string{"anna": "", "a page": "anna", "ben": "ben", "page-1": "", "robot": "robot"} {
		got := ""
		for _, s := range o.hall.Find(hall.Audience{Aliases: []string{alias}}) {
			got += s.UserID
		}
		if got != want {
			t.Errorf("%s finds %q, want %q", alias, got, want)
		}
	}
	// Of a user whom nobody knew somebody may have taken the id. He gets it back when he comes.
	if a := ben.ask("user_login", `{"tokenId":"carl"}`); !a.OK {
		t.Fatal(a.text)
	}
	o.enterWith(t, tokenOf(t, "carl"), "")
	if list := o.hall.Find(hall.Audience{Aliases: []string{"carl"}}); len(list) != 0 {
		t.Errorf("what is for carl finds %+v", list)
	}
	if a := ben.ask("user_login", `{"tokenId":"carl"}`); a.Error.Code != "forbidden" {
		t.Errorf("taking it again was answered %s", a.text)
	}
}

// Two users who want one name at one moment do not both have it, and a third page never has it beside them.
func TestTokenRace(t *testing.T) {
	o := locked(t, func(c *Config) { c.EventsPerSecond = 1000 })
	anna, ben := o.enterWith(t, tokenOf(t, "anna"), ""), o.enterWith(t, tokenOf(t, "ben"), "")
	doubles := 0
	rounds := storetest.Size(2000, 100)
	for i := range rounds {
		alias := fmt.Sprintf(`{"tokenId":"page-%d"}`, i)
		var all sync.WaitGroup
		all.Go(func() { anna.ask("user_login", alias) })
		all.Go(func() { ben.ask("user_login", alias) })
		all.Wait()
		if len(o.hall.rooms.in(aliasRoom(fmt.Sprintf("page-%d", i)))) > 1 {
			doubles++
		}
	}
	if doubles > 0 {
		t.Errorf("%d of %d names belong to two users", doubles, rounds)
	}
	storetest.Show(t, "%d of %d names that two users wanted at once belong to both", doubles, rounds)
}

// With auth on nobody becomes somebody else by logging in, nor goes where his token does not let him.
func TestLoginWithAToken(t *testing.T) {
	o := locked(t, func(c *Config) { c.EventsPerSecond = 1000 })
	o.members(t, "44", "anna")
	anna := o.enterWith(t, signed(t, auth.Identity{UserID: "anna", Conferences: only("42", "43")}), "")
	listed := o.enterWith(t, signed(t, auth.Identity{UserID: "anna"}), "")
	robot := o.enterWith(t, signed(t, auth.Identity{UserID: "robot", System: true, Conferences: only("42", "43")}), "is_system=1&conferenceId=42")
	for _, c := range []struct {
		client     *webSocketClient
		event, arg string
		code       string // "" is ok
	}{
		{anna, "user_login", `{"userId":"ben"}`, "forbidden"}, {anna, "user_login", `{"userId":"Anna"}`, "forbidden"}, {anna, "user_login", `{"conferenceId":"44"}`, "forbidden"},
		{anna, "user_login", `{}`, ""}, {anna, "user_login", `{"userId":"anna","conferenceId":"43"}`, ""}, {anna, "user_login", `{"conferenceId":"42"}`, "conflict"},
		{anna, "watch", `{"conferenceIds":["42"]}`, "forbidden"},
		{listed, "user_login", `{"conferenceId":"42"}`, "forbidden"}, {listed, "user_login", `{"conferenceId":"44"}`, ""},
		{robot, "watch", `{"conferenceIds":["43","44"]}`, "forbidden"}, {robot, "watch", `{"conferenceIds":["43","42"]}`, ""}, {robot, "user_login", `{"userId":"anna","tokenId":"x"}`, "forbidden"},
	} {
		if a := c.client.ask(c.event, c.arg); a.OK != (c.code == "") || a.Error.Code != c.code {
			t.Errorf("%s %s was answered %s, want %q", c.event, c.arg, a.text, c.code)
		}
	}
	if n := o.hall.Occupancy("44"); n != 1 { // the member; whoever may not watch all watches none
		t.Errorf("%d sockets are in a room where one may be", n)
	}
}

// A system client that comes by the members list sees no more of a conference once its user is off the list, and asks in vain
// for what is there.
func TestWatcherIsTakenOffTheList(t *testing.T) {
	o := locked(t, nil)
	o.members(t, "42", "robot", "anna")
	robot := o.enterWith(t, signed(t, auth.Identity{UserID: "robot", System: true}), "is_system=1&conferenceId=42")
	anna := o.enterWith(t, signed(t, auth.Identity{UserID: "anna"}), "conferenceId=42")
	if a := robot.ask("roster"); !a.OK {
		t.Fatal(a.text)
	}
	o.house.Dismiss(t.Context(), "42", []string{"robot", "anna"})
	if told := anna.event("kicked"); string(told) != `{"reason":"member_removed"}` {
		t.Errorf("the member was told %s", told)
	}
	for _, event := range []string{"roster", "tree_resync"} {
		if a := robot.ask(event); a.Error.Code != "no_conference" {
			t.Errorf("%s was answered %s", event, a.text)
		}
	}
	storetest.Eventually(t, func() bool { return o.hall.Occupancy("42") == 0 }, "the room is not empty")
}
