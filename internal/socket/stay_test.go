package socket

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/presence"
	"rollcall/internal/storetest"
)

// soon is when the short tokens of these tests end: long enough to come in with.
const soon = 1500 * time.Millisecond

// expired is what a socket is told whose token has ended.
const expired = `42["kicked",{"reason":"token_expired"}]`

// seatOf returns the only seat of a user.
func (o *opened) seatOf(t *testing.T, user string) *seat {
	t.Helper()
	seats := o.hall.rooms.in(userRoom(user))
	if len(seats) != 1 {
		t.Fatalf("%s has %d seats", user, len(seats))
	}
	return seats[0]
}

// endOf returns when a seat ends, zero if nothing ends it.
func endOf(s *seat) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term.until
}

// A socket ends with its token, for good and by whatever way it came: it is told why, and its session is one that was kicked.
func TestTokenEnds(t *testing.T) {
	o := locked(t, nil)
	for way, v := range ways(false) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			user := strings.ReplaceAll(way, " ", "-")
			query := fmt.Sprintf("EIO=%d&conferenceId=42", v.eio)
			header := bearer(signed(t, auth.Identity{UserID: user, Conferences: only("42"), ExpiresAt: time.Now().Add(soon)}))
			var next packets
			if v.polling {
				p := o.pollWith(t, query, header)
				if v.eio == 4 {
					p.post("40")
				}
				next = p.packets(v.eio)
			} else {
				c := o.dialWith(t, query, header)
				if v.eio == 4 {
					c.write("40")
				}
				next = c.read
			}
			told := ""
			for !strings.HasPrefix(told, `42["kicked"`) {
				told = next()
			}
			if bye := next(); told != expired || bye != "41" {
				t.Errorf("it was told %s and then %s", told, bye)
			}
			storetest.EventuallyWithin(t, 5*time.Second, func() bool { return o.state(t, user) == "" }, "it is still shown")
			records, err := o.house.Presence.History(t.Context(), presence.HistoryQuery{UserID: user})
			if err != nil || len(records) != 1 || records[0].Reason != presence.Kicked {
				t.Errorf("its sessions are %+v, %v", records, err)
			}
		})
	}
}

// A token that ends while its socket is let in lets nobody stay, whichever of the two comes first.
func TestTokenEndsOnTheWayIn(t *testing.T) {
	o := locked(t, func(c *Config) { c.MaxSessionsPerUser = 1000 })
	for i := range storetest.Size(300, 16) {
		c := o.dial(t, "EIO=4&conferenceId=42")
		c.write(`40{"token":"` + signed(t, auth.Identity{UserID: "anna", Conferences: only("42"), ExpiresAt: time.Now().Add(time.Duration(i*5%40) * time.Millisecond)}) + `"}`)
		for p := ""; p != "41" && !strings.HasPrefix(p, "44"); {
			p = c.read()
		}
		_ = c.conn.Close()
	}
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 && o.state(t, "anna") == "" }, "somebody stays whose token has ended")
}

// With auth.check handshake nothing ends a socket; leeway lets it stay that much longer; and an end far away is no end now.
func TestWhenATokenEnds(t *testing.T) {
	years := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change    func(*Config)
		exp, want time.Time
	}{
		"checked once": {func(c *Config) { c.CheckOnce = true }, time.Now().Add(time.Minute), time.Time{}},
		"leeway":       {func(c *Config) { c.Leeway = time.Hour }, years, years.Add(time.Hour)},
		"years":        {nil, years, years},
	} {
		t.Run(name, func(t *testing.T) {
			o := locked(t, c.change)
			client := o.enterWith(t, signed(t, auth.Identity{UserID: "anna", ExpiresAt: c.exp}), "")
			if got := endOf(o.seatOf(t, "anna")); !got.Equal(c.want) {
				t.Errorf("it ends at %v, want %v", got, c.want)
			}
			if a := client.ask("jywsping"); !a.OK {
				t.Error(a.text)
			}
		})
	}
}

// A fresh token of the same user moves the end; whatever else is shown changes nothing, and the answer says why.
func TestReauth(t *testing.T) {
	o := locked(t, func(c *Config) { c.EventsPerSecond = 1000 })
	o.members(t, "42", "anna")
	hour := time.Now().Add(time.Hour).Truncate(time.Second)
	at := func(i auth.Identity, exp time.Time) string {
		i.ExpiresAt = exp
		return `{"token":"` + signed(t, i) + `"}`
	}
	anna := o.enterWith(t, tokenOf(t, "anna"), "conferenceId=42")
	robot := o.enterWith(t, signed(t, auth.Identity{UserID: "robot", System: true, Conferences: only("42", "43")}), "is_system=1&conferenceId=42")
	if a := robot.ask("watch", `{"conferenceIds":["43"]}`); !a.OK {
		t.Fatal(a.text)
	}
	for _, user := range []string{"anna", "robot"} {
		s := o.seatOf(t, user)
		s.lane.do(func() { s.fresh = newLimit(1000, 1000) }) // that limit is another story
	}
	before := endOf(o.seatOf(t, "anna"))
	for _, c := range []struct {
		client    *webSocketClient
		arg, code string
	}{
		{anna, at(auth.Identity{UserID: "ben", Conferences: only("42")}, hour), "forbidden"},
		{anna, at(auth.Identity{UserID: "anna", Conferences: only("43")}, hour), "forbidden"},
		{anna, at(auth.Identity{UserID: "anna", Conferences: only("42")}, hour.Add(-2*time.Hour)), "unauthorized"},
		{anna, `{"token":"x"}`, "unauthorized"}, {anna, `{"token":""}`, "unauthorized"}, {anna, `{}`, "unauthorized"}, {anna, `{"token":7}`, "bad_payload"}, {anna, `"x"`, "bad_payload"},
		{robot, at(auth.Identity{UserID: "robot", Conferences: only("42", "43")}, hour), "forbidden"},
		{robot, at(auth.Identity{UserID: "robot", System: true, Conferences: only("42")}, hour), "forbidden"},
		{robot, at(auth.Identity{UserID: "robot", System: true}, hour), "forbidden"},
	} {
		if a := c.client.ask("reauth", c.arg); a.OK || a.Error.Code != c.code {
			t.Errorf("%.60s was answered %s, want %s", c.arg, a.text, c.code)
		}
	}
	if got := endOf(o.seatOf(t, "anna")); !got.Equal(before) {
		t.Errorf("a token that was refused moved the end from %v to %v", before, got)
	}
	for _, c := range []struct {
		client *webSocketClient
		i      auth.Identity
	}{
		{anna, auth.Identity{UserID: "anna", Conferences: only("42")}}, {anna, auth.Identity{UserID: "anna"}},
		{robot, auth.Identity{UserID: "robot", System: true, Conferences: auth.Conferences{Said: true, All: true}}},
	} {
		for _, exp := range []time.Time{hour.Add(time.Hour), hour} { // nearer again is fine as well
			want := fmt.Sprintf(`"expiresAt":%d,`, exp.UnixMilli())
			if a := c.client.ask("reauth", at(c.i, exp)); !a.OK || !strings.Contains(a.text, want) {
				t.Errorf("%+v was answered %s", c.i, a.text)
			}
		}
	}
	// The token that counts now leaves it to the list. Whoever is taken off that cannot go on with such a token.
	o.members(t, "42", "ben")
	if a := anna.ask("reauth", at(auth.Identity{UserID: "anna"}, hour)); a.Error.Code != "forbidden" {
		t.Errorf("somebody who is no member any more was answered %s", a.text)
	}
	// What a later token does not name cannot be entered by an earlier one.
	if a := anna.ask("leave"); !a.OK {
		t.Fatal(a.text)
	}
	if a := anna.ask("user_login", `{"conferenceId":"42"}`); a.Error.Code != "forbidden" {
		t.Errorf("coming back was answered %s", a.text)
	}
}

// Where nobody is asked for a token, and where it is looked at once, a client that renews it does no harm.
func TestReauthWhereNothingEnds(t *testing.T) {
	c := open(t, nil).enter(t, "EIO=4&userId=anna")
	if a := c.ask("reauth", `{"token":"x"}`); !a.OK || !strings.Contains(a.text, `"expiresAt":null`) {
		t.Errorf("without auth it was answered %s", a.text)
	}
	o := locked(t, func(c *Config) { c.CheckOnce = true })
	once := o.enterWith(t, tokenOf(t, "anna"), "conferenceId=42")
	if a := once.ask("reauth", `{"token":"`+tokenOf(t, "anna")+`"}`); !a.OK || strings.Contains(a.text, "null") || !endOf(o.seatOf(t, "anna")).IsZero() {
		t.Errorf("with auth.check handshake it was answered %s", a.text)
	}
}

// A fresh token at the very moment the old one ends either keeps the socket or comes too late, and is answered so. Nobody is
// thrown out whose token was taken.
func TestReauthAgainstTheEnd(t *testing.T) {
	o := locked(t, func(c *Config) { c.MaxSessionsPerUser, c.EventsPerSecond = 1000, 1000 })
	c := o.enterWith(t, tokenOf(t, "anna"), "")
	taken := 0
	for range storetest.Size(1000, 30) {
		s := o.seatOf(t, "anna")
		s.stay(auth.Identity{ExpiresAt: time.Now().Add(time.Millisecond)})
		storetest.Eventually(t, func() bool { return time.Now().After(endOf(s)) }, "time stands still")
		if s.stay(auth.Identity{ExpiresAt: time.Now().Add(time.Hour)}) {
			taken++
			if a := c.ask("jywsping"); !a.OK {
				t.Fatal(a.text)
			}
			continue
		}
		if told := c.until(`42["kicked"`); told != expired {
			t.Fatalf("it was told %s", told)
		}
		c.until("41")
		_ = c.conn.Close()
		storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "the seat stays")
		c = o.enterWith(t, tokenOf(t, "anna"), "")
	}
	storetest.Show(t, "%d times a fresh token came in time, else the socket ended; both at once 0 times", taken)
}

// Each token that a socket shows may mean to ask somebody, and one socket could show as many as it may send events.
func TestReauthIsLimited(t *testing.T) {
	o := locked(t, nil)
	c := o.enterWith(t, tokenOf(t, "anna"), "")
	limited := 0
	for range 20 {
		if c.ask("reauth", `{"token":"x"}`).Error.Code == "rate_limited" {
			limited++
		}
	}
	if limited == 0 {
		t.Errorf("of 20 wrong tokens %d were too many", limited)
	}
	if a := c.ask("jywsping"); !a.OK {
		t.Error(a.text)
	}
}
