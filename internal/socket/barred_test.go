package socket

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/presence"
	"rollcall/internal/storetest"
)

// bar keeps a user out of a conference, "" being all, for an hour.
func (o *opened) bar(t *testing.T, user, conferenceID string) {
	t.Helper()
	if err := o.house.Presence.Bar(t.Context(), user, conferenceID, time.Now().Add(time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
}

func robot(t *testing.T) string {
	return signed(t, auth.Identity{UserID: "robot", System: true, Conferences: only("42", "43")})
}

// Whether a system client is kept out was asked for the conference that it named; who named none was not asked about, and came
// in to hear what is said to all.
func TestBarredSystemClient(t *testing.T) {
	o := locked(t, nil)
	o.bar(t, "robot", "")
	for _, query := range []string{"is_system=1", "is_system=1&conferenceId=42"} {
		for way, v := range ways(false) {
			v.query, v.header = query, bearer(robot(t))
			if got := o.come(t, v); got.Code != "forbidden" {
				t.Errorf("%s, %s: %+v", way, query, got)
			}
		}
	}
}

// Who is sent out while he is let into a room is not in it yet, and so nobody finds him there: he came in behind his own kick.
func TestBarredWhileBeginningToWatch(t *testing.T) {
	o := locked(t, nil)
	c := o.enterWith(t, robot(t), "is_system=1")
	s := o.seatOf(t, "robot")
	o.hall.rooms.mu.Lock()
	c.write(`4277["watch",{"conferenceIds":["42","43"]}]`)
	storetest.Eventually(t, func() bool { return s.watches("42") }, "it does not come to the door of the room")
	o.bar(t, "robot", "43")
	o.hall.rooms.mu.Unlock()
	if a := readAnswer(t, c.until("4377[")); a.Error.Code != "forbidden" || s.watches("42") || s.watches("43") || o.hall.Occupancy("42")+o.hall.Occupancy("43") != 0 {
		t.Errorf("%s, it watches 42: %v, 43: %v", a.text, s.watches("42"), s.watches("43"))
	}
}

// The same for one that names a conference as it connects, and for one that is kept out of everything.
func TestBarredWhileComingIn(t *testing.T) {
	for _, query := range []string{"is_system=1", "is_system=1&conferenceId=42"} {
		o := locked(t, nil)
		c := o.dial(t, "EIO=4&"+query)
		o.hall.rooms.mu.Lock()
		c.write(`40{"token":"` + robot(t) + `"}`)
		storetest.Eventually(t, func() bool {
			seats := o.hall.seats()
			return len(seats) == 1 && seats[0].person().userID == "robot"
		}, "it is not let in")
		o.bar(t, "robot", "")
		o.hall.rooms.mu.Unlock()
		if told := c.until(`42["kicked"`); !strings.Contains(told, `"reason":"kicked"`) || c.read() != "41" {
			t.Errorf("%s: it was told %s", query, told)
		}
		storetest.Eventually(t, func() bool { return o.hall.Occupancy("42") == 0 }, "it is in the room")
	}
}

// What a client had asked for before it was kicked was done afterwards: a moderator who throws somebody out for what he writes
// saw it written.
func TestEventsOfSomebodyKicked(t *testing.T) {
	o := locked(t, nil)
	c := o.enterWith(t, tokenOf(t, "anna"), "conferenceId=42")
	s := o.seatOf(t, "anna")
	gate, over := make(chan struct{}), make(chan struct{})
	s.lane.do(func() { <-gate })
	c.write(`42["chat message","rude"]`)
	c.write(`42["sign_in"]`)
	storetest.Eventually(t, func() bool { s.lane.mu.Lock(); defer s.lane.mu.Unlock(); return len(s.lane.waiting) >= 2 }, "the events do not wait")
	s.expel("kicked", presence.Kicked)
	s.lane.do(func() { close(over) })
	close(gate)
	<-over
	for _, event := range []string{"chat message", "sign_in"} {
		for _, outcome := range []string{"ok", "internal", "conflict", "unavailable"} {
			if n := o.counted(t, "rollcall_client_events_total", event, outcome); n != 0 {
				t.Errorf("%s was still done, with the outcome %s", event, outcome)
			}
		}
	}
}

// Of two cookies of one name a browser sends that first whose path is longer, and a page below the same domain can plant one; of
// two headers a proxy may have looked at the other.
func TestTwoTokensOfAKind(t *testing.T) {
	o := locked(t, func(c *Config) { c.CookieName = "seat" })
	anna, ben := tokenOf(t, "anna"), tokenOf(t, "ben")
	for name, header := range map[string]http.Header{
		"a planted cookie":  {"Cookie": {"seat=" + ben + "; seat=" + anna}},
		"two cookies apart": {"Cookie": {"seat=" + ben, "seat=" + anna}},
		"two headers":       {"Authorization": {"Bearer " + ben, "Bearer " + anna}},
		"the same twice":    {"Authorization": {"Bearer " + anna, "Bearer " + anna}},
	} {
		for way, v := range ways(false) {
			v.header = header
			if got := o.come(t, v); got.Code != "unauthorized" {
				t.Errorf("%s, %s: %+v", name, way, got)
			}
		}
	}
	if got := o.come(t, visit{eio: 4, header: http.Header{"Cookie": {"other=1; seat=" + anna + "; other=2"}}}); got.UserID != "anna" {
		t.Errorf("one beside others: %+v", got)
	}
}

// Wrong tokens of one address were looked at without end; and when there are too many, others are let in as ever.
func TestWrongTokensOfOneAddress(t *testing.T) {
	o := locked(t, nil)
	s := &seat{door: o.Door, ip: "192.0.2.1"}
	refused := 0
	for range 10 * wrongPerSecond {
		if _, err := s.verify(t.Context(), "made.up.token"); err == errGuesses {
			refused++
		}
	}
	if refused < wrongPerSecond {
		t.Errorf("%d of %d were not looked at", refused, 10*wrongPerSecond)
	}
	if got := o.come(t, visit{eio: 4, header: bearer(tokenOf(t, "anna"))}); got.UserID != "anna" {
		t.Errorf("somebody else: %+v", got)
	}
}
