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

// locked is a server with its doors locked and clients of one version.
type locked struct {
	*server
	driver  *clienttest.Driver
	version int
}

// bothVersions plays on one server with clients of either version.
func bothVersions(t *testing.T, dialect string, with settings, play func(t *testing.T, s *locked)) {
	t.Helper()
	all := settings{"auth": "jwt", "presence.grace": "500ms"}
	for k, v := range with {
		all[k] = v
	}
	server, driver := launch(t, dialect, all), clienttest.Start(t)
	for name, version := range map[string]int{"4.8": 4, "2.5": 2} {
		t.Run(name, func(t *testing.T) {
			defer func(whole *testing.T) { server.t = whole }(server.t)
			server.t = t
			play(t, &locked{server, driver, version})
		})
	}
}

// room is a conference of clients of this version alone.
func (s *locked) room() string { return fmt.Sprint("room", s.version) }

// opens lets somebody try to come into a conference with a token, by a client that comes back whenever it may; more are keys
// and values of the query.
func (s *locked) opens(token, conference string, more ...string) *clienttest.Client {
	s.t.Helper()
	o := clienttest.Options{URL: s.base, Version: s.version, Reconnect: true, Query: map[string]string{"conferenceId": conference}}
	for i := 0; i+1 < len(more); i += 2 {
		o.Query[more[i]] = more[i+1]
	}
	return s.driver.Open(s.t, bearing(o, token))
}

// enters is opens for somebody who comes in.
func (s *locked) enters(token, conference string, more ...string) *clienttest.Client {
	s.t.Helper()
	c := s.opens(token, conference, more...)
	c.Wait(s.t, "welcome", nil)
	return c
}

// refused is opens for somebody who does not.
func (s *locked) refused(want, token, conference string, more ...string) {
	s.t.Helper()
	c := s.opens(token, conference, more...)
	if got := fate(s.t, c); got != want {
		s.t.Errorf("into %q with %q: %s, want %s", conference, more, got, want)
	}
	c.Close(s.t)
}

// asks emits an event and returns the code of the error that it was answered with, or "ok".
func (s *locked) asks(c *clienttest.Client, event string, arg any) string {
	s.t.Helper()
	var a struct {
		OK    bool
		Error struct{ Code string }
	}
	if err := json.Unmarshal(c.EmitAck(s.t, event, arg)[0], &a); err != nil {
		s.t.Fatalf("%s was answered with %v", event, err)
	}
	if a.OK {
		return "ok"
	}
	return a.Error.Code
}

// thrownOut waits until a client was told why it is disconnected, and was; it must not come back.
func (s *locked) thrownOut(c *clienttest.Client, why string) {
	s.t.Helper()
	c.Wait(s.t, "kicked", told(`"`+why+`"`))
	if reason := c.WaitDisconnect(s.t).Reason; !strings.Contains(reason, "server") {
		s.t.Errorf("disconnected with %q, which a client takes for a reason to come back", reason)
	}
}

// connectedOnce fails if a client connected more than once.
func connectedOnce(t *testing.T, what string, c *clienttest.Client) {
	t.Helper()
	n := 0
	for _, e := range c.Log() {
		if e.Type == "connect" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s connected %d times", what, n)
	}
}

const life = 2 * time.Second // of a token that ends during a test

// A socket ends with its token, for good, unless it brought a fresh one of the same user for the same place.
func TestTokenEnds(t *testing.T) {
	bothVersions(t, store.MySQL, nil, func(t *testing.T, s *locked) {
		room := s.room()
		end := time.Now().Add(life)
		let := s.enters(token(t, "7", until(end)), room)
		renewing := s.enters(token(t, "8", until(end)), room)
		failing := s.enters(token(t, "9", until(end)), room)
		later := time.Now().Add(time.Hour)
		for _, fresh := range []struct{ token, want string }{
			{token(t, "7", until(later)), "forbidden"},
			{token(t, "9", until(later), only("elsewhere")), "forbidden"},
			{token(t, "9", until(later), unsaid), "forbidden"}, // nobody is on the members list
			{token(t, "9", until(time.Now().Add(-time.Minute))), "unauthorized"},
			{"in.no.way", "unauthorized"},
			{"", "unauthorized"},
		} {
			if got := s.asks(failing, "reauth", map[string]string{"token": fresh.token}); got != fresh.want {
				t.Errorf("reauth was answered %s, want %s", got, fresh.want)
			}
		}
		var answer struct {
			OK        bool
			ExpiresAt int64
		}
		later = later.Truncate(time.Second)
		if err := json.Unmarshal(renewing.EmitAck(t, "reauth", map[string]string{"token": token(t, "8", until(later))})[0], &answer); err != nil || !answer.OK || answer.ExpiresAt != later.UnixMilli() {
			t.Errorf("reauth was answered %+v %v, want until %d", answer, err, later.UnixMilli())
		}
		for _, c := range []*clienttest.Client{let, failing} {
			s.thrownOut(c, "token_expired")
			if late := time.Since(end); late < -50*time.Millisecond || late > 2*time.Second {
				t.Errorf("thrown out %v after the end of the token", late)
			}
		}
		if got := s.asks(renewing, "jywsping", nil); got != "ok" {
			t.Errorf("the socket with a fresh token is answered %s", got)
		}
		renewing.Wait(t, "offline_notice", told(`"userId":"7"`, `"reason":"kicked"`))
		s.refused("unauthorized", token(t, "7", until(end)), room)
		connectedOnce(t, "whose token ended", let)
		connectedOnce(t, "who had no good one", failing)
		connectedOnce(t, "who had a fresh one", renewing)
	})
}

// With auth.check handshake a socket outlives its token, and its token is looked at when it comes.
func TestCheckedOnce(t *testing.T) {
	bothVersions(t, store.SQLite, settings{"auth.check": "handshake"}, func(t *testing.T, s *locked) {
		end := time.Now().Add(life)
		c := s.enters(token(t, "7", until(end)), "42")
		storetest.Eventually(t, func() bool { return time.Since(end) > 1500*time.Millisecond }, "time does not pass")
		if got := s.asks(c, "jywsping", nil); got != "ok" {
			t.Errorf("answered %s after the token ended", got)
		}
		connectedOnce(t, "who was checked once", c)
		s.refused("unauthorized", token(t, "7", until(end)), "42")
		c.Close(t)
	})
}

// Who is taken off the list, and everybody when the conference is deleted, is out at once and stays out.
func TestRemovedAtOnce(t *testing.T) {
	bothVersions(t, store.MySQL, nil, func(t *testing.T, s *locked) {
		room := s.room()
		list := "/api/v1/conferences/" + room + "/members"
		s.must("PUT", list, `{"members":[{"userId":"1"},{"userId":"2"},{"userId":"3"}]}`, nil)
		people := map[string]*clienttest.Client{}
		for _, user := range []string{"1", "2", "3"} {
			people[user] = s.enters(token(t, user, unsaid), room)
		}
		guest := s.enters(token(t, "4", only(room)), room) // whom the token lets in, not the list
		s.refused("forbidden", token(t, "4", unsaid), room)

		began := time.Now()
		s.must("DELETE", list+"/1", nil, nil)
		s.thrownOut(people["1"], "member_removed")
		s.must("PUT", list, `{"members":[{"userId":"3"}]}`, nil)
		s.thrownOut(people["2"], "member_removed")
		slowest := time.Since(began)
		for _, user := range []string{"1", "2"} {
			s.refused("forbidden", token(t, user, unsaid), room)
		}
		for who, c := range map[string]*clienttest.Client{"a member": people["3"], "a guest": guest} {
			if got := s.asks(c, "jywsping", nil); got != "ok" {
				t.Errorf("%s is answered %s", who, got)
			}
		}
		began = time.Now()
		s.must("DELETE", "/api/v1/conferences/"+room, nil, nil)
		for _, c := range []*clienttest.Client{people["3"], guest} {
			c.Wait(t, "kicked", nil)
			c.WaitDisconnect(t)
		}
		slowest = max(slowest, time.Since(began))
		s.refused("forbidden", token(t, "3", unsaid), room)
		for _, c := range append([]*clienttest.Client{guest}, people["1"], people["2"], people["3"]) {
			connectedOnce(t, "who was removed", c)
		}
		storetest.Show(t, "removed from the list and out of the deleted conference within %v of the call", slowest.Round(time.Millisecond))
	})
}
