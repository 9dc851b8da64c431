package socket

import (
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"rollcall/internal/message"
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
