package socket

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/hall"
)

// Each way to name an audience finds its sockets, each once, and each way to narrow one leaves out the others.
func TestAudiences(t *testing.T) {
	o := open(t, nil)
	pc := o.enter(t, "EIO=4&userId=anna&clientType=pc&deviceId=a-pc&conferenceId=42")
	o.enter(t, "EIO=4&userId=anna&clientType=app&deviceId=a-app")
	o.enter(t, "EIO=3&userId=ben&clientType=pc&deviceId=b-pc&conferenceId=42")
	nobody := o.enter(t, "EIO=4&deviceId=nobody")
	o.enter(t, "EIO=4&is_system=1&userId=ben&deviceId=wall&conferenceId=42")
	o.enter(t, "EIO=4&is_system=1&deviceId=log")
	for _, c := range []*webSocketClient{pc, nobody} {
		if a := c.ask("user_login", `{"tokenId":"t"}`); !a.OK {
			t.Fatal(a.text)
		}
	}
	session := ""
	for _, s := range o.hall.Find(hall.Audience{Users: []string{"anna"}, ClientTypes: []string{"app"}}) {
		session = s.SessionID
	}
	for want, to := range map[string]hall.Audience{
		"a-app a-pc":                      {Users: []string{"anna", "anna", "nobody-knows"}},
		"a-pc":                            {Users: []string{"anna"}, ConferenceID: "42"},
		"a-pc b-pc wall":                  {All: true, ConferenceID: "42"},
		"b-pc wall":                       {All: true, ConferenceID: "42", Except: []string{"anna"}},
		"a-pc wall":                       {All: true, ConferenceID: "42", Except: []string{"ben", "carl"}},
		"a-app a-pc b-pc log nobody wall": {All: true},
		"a-pc b-pc log nobody wall":       {All: true, ExceptOf: session},
		"a-app":                           {Sessions: []string{session, session, "", "gone"}},
		"a-pc nobody":                     {Aliases: []string{"t", "u"}},
		"a-app a-pc b-pc nobody wall":     {Aliases: []string{"t"}, Users: []string{"anna", "ben"}},
		"a-app log nobody":                {Lobby: true},
		"":                                {},
	} {
		var got []string
		for _, s := range o.hall.Find(to) {
			got = append(got, s.DeviceID)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%+v finds %v, want %s", to, got, want)
		}
	}
}

// A client that has to go because it is too slow is not reached by what it does not get. It was counted among those who
// were, and so nothing was kept for it.
func TestSlowClientIsNotReached(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxQueueBytes = 1000 })
	slow := o.poll(t, "EIO=4&userId=anna")
	slow.post("40")
	slow.until("welcome")
	slow.post(`421["jywsping"]`)
	slow.until("431[") // it is in its rooms, and nothing waits for it
	text := json.RawMessage(`"` + strings.Repeat("x", 2000) + `"`)
	to := hall.Audience{Users: []string{"anna"}}
	for i, want := range []int{1, 0, 0} {
		if got := o.hall.Emit(to, "hello", text); len(got) != want {
			t.Errorf("number %d reached %d sockets, want %d", i, len(got), want)
		}
	}
	if got := o.hall.EmitAcked(to, "n1", "notice", text); len(got) != 0 {
		t.Errorf("a notice reached %v", got)
	}
}
