package socket

import (
	"encoding/json"
	"testing"

	"rollcall/internal/presence"
)

// Every page of the roster has the numbers of presence_state with it, so that a client that missed one can make it anew.
func TestRosterSaysWhatTheStateSays(t *testing.T) {
	o := open(t, nil)
	list := []presence.Member{{UserID: "cleo", Role: "host"}, {UserID: "dan", Role: "member", Excused: true}, {UserID: "eve", Role: "member"}}
	if _, err := o.house.Presence.ReplaceMembers(t.Context(), "42", list); err != nil {
		t.Fatal(err)
	}
	type numbers struct{ RosterVersion, Version, Online, Expected, Excused int64 }
	var state numbers
	c := o.dial(t, "EIO=4&userId=cleo&conferenceId=42")
	c.write("40")
	if err := json.Unmarshal(c.event("presence_state"), &state); err != nil {
		t.Fatal(err)
	}
	if state.Online != 1 || state.Expected != 2 || state.Excused != 1 {
		t.Fatalf("the state says %+v", state)
	}
	cursor, users := "", 0
	for range 3 {
		a := c.ask("roster", `{"limit":1,"cursor":"`+cursor+`"}`)
		if got := (numbers{a.RosterVersion, a.Version, a.Online, a.Expected, a.Excused}); !a.OK || got != state {
			t.Errorf("the page says %s, the state %+v", a.text, state)
		}
		if users += len(a.Items); a.Next != nil {
			cursor = *a.Next
		}
	}
	if users != len(list) {
		t.Errorf("%d users on three pages of one", users)
	}
}
