package socket

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/presence"
	"rollcall/internal/storetest"
)

// secret signs the tokens of these tests.
const secret = "a secret that only these tests sign with"

// locked builds a door that believes tokens and nothing else.
func locked(t testing.TB, change func(*Config)) *opened {
	t.Helper()
	return open(t, func(c *Config) {
		tokens, err := auth.NewVerifier(auth.VerifierConfig{HS256Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		c.Tokens = tokens
		if change != nil {
			change(c)
		}
	})
}

// signed returns a token; it is good for an hour unless i says how long.
func signed(t testing.TB, i auth.Identity) string {
	t.Helper()
	if i.ExpiresAt.IsZero() {
		i.ExpiresAt = time.Now().Add(time.Hour)
	}
	text, err := auth.Sign(auth.Signing{Identity: i, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func only(conferences ...string) auth.Conferences {
	return auth.Conferences{Said: true, IDs: conferences}
}

// tokenOf is a token that lets a user into conference 42.
func tokenOf(t testing.TB, user string) string {
	return signed(t, auth.Identity{UserID: user, Conferences: only("42")})
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// enterWith connects with a token and waits until the socket is in its rooms.
func (o *opened) enterWith(t testing.TB, token, query string) *webSocketClient {
	t.Helper()
	c := o.dial(t, "EIO=4&"+query)
	c.write(`40{"token":"` + token + `"}`)
	c.event("welcome")
	c.ask("jywsping")
	return c
}

// members makes users the members of a conference.
func (o *opened) members(t *testing.T, conferenceID string, users ...string) {
	t.Helper()
	list := make([]presence.Member, len(users))
	for i, user := range users {
		list[i] = presence.Member{UserID: user, Role: "member"}
	}
	if _, err := o.house.Presence.ReplaceMembers(t.Context(), conferenceID, list); err != nil {
		t.Fatal(err)
	}
}

// visit is one try to come in, over a revision of the protocol and a transport.
type visit struct {
	eio     int
	polling bool
	query   string
	header  http.Header
	claim   string // the auth object of the CONNECT
}

// met is what became of a visit: a welcome, or a code with its detail.
type met struct {
	Code, Detail                              string
	SessionID, UserID, UserName, ConferenceID string
}

// packets are those that a client is sent, one after another.
type packets func() string

// come goes through a visit up to its end.
func (o *opened) come(t *testing.T, v visit) met {
	t.Helper()
	query := fmt.Sprintf("EIO=%d&%s", v.eio, v.query)
	connect := "40" + v.claim
	var next packets
	if v.polling {
		p := o.pollWith(t, query, v.header)
		if v.eio == 4 {
			p.post(connect)
		}
		defer p.post(map[int]string{4: "1", 3: "1:1"}[v.eio])
		next = p.packets(v.eio)
	} else {
		c := o.dialWith(t, query, v.header)
		defer c.conn.Close()
		if v.eio == 4 {
			c.write(connect)
		}
		next = c.read
	}
	for {
		switch packet := next(); {
		case strings.HasPrefix(packet, `42["welcome",`):
			var list []json.RawMessage
			var m met
			if err := json.Unmarshal([]byte(packet[2:]), &list); err != nil || json.Unmarshal(list[1], &m) != nil {
				t.Fatalf("%s: %v", packet, err)
			}
			return m
		case strings.HasPrefix(packet, "44"):
			var refused struct {
				met
				Message string
				Data    met
			}
			if err := json.Unmarshal([]byte(packet[2:]), &refused); err != nil || refused.Message == "" {
				t.Fatalf("%s: %v", packet, err)
			}
			if v.eio == 3 {
				return refused.met
			}
			return refused.Data
		}
	}
}

// packets reads what polls bring.
func (p *poller) packets(eio int) packets {
	var waiting []string
	return func() string {
		p.t.Helper()
		for len(waiting) == 0 {
			status, body := p.get(p.t.Context())
			if status != http.StatusOK {
				p.t.Fatalf("a poll was answered %d %q", status, body)
			}
			eachPacket([]byte(body), eio, func(packet []byte) bool {
				waiting = append(waiting, string(packet))
				return true
			})
		}
		first := waiting[0]
		waiting = waiting[1:]
		return first
	}
}

// ways are all in which a client may come, with what to call them.
func ways(claims bool) map[string]visit {
	all := map[string]visit{"4.x by WebSocket": {eio: 4}, "4.x by polling": {eio: 4, polling: true}}
	if !claims { // 2.x has no CONNECT of its own that could hold a token
		all["2.x by WebSocket"], all["2.x by polling"] = visit{eio: 3}, visit{eio: 3, polling: true}
	}
	return all
}

// visitCase is what a client shows, and what becomes of it.
type visitCase struct {
	query  string
	header http.Header
	claim  string
	want   met // its Detail is a part of what is said
}

// visitCases is written for a door with a cookie called seat, where anna is the only member of conference 41.
func visitCases(t *testing.T) []visitCase {
	anna := tokenOf(t, "anna")
	named := signed(t, auth.Identity{UserID: "anna", Name: "Anna A", Role: "host", Conferences: auth.Conferences{Said: true, All: true}})
	listed := signed(t, auth.Identity{UserID: "anna"})
	robot := signed(t, auth.Identity{UserID: "robot", System: true, Conferences: only("42")})
	late := signed(t, auth.Identity{UserID: "anna", ExpiresAt: time.Now().Add(-time.Second)})
	cookie := func(name, value string) http.Header { return http.Header{"Cookie": {name + "=" + value}} }
	claim := func(json string) string { return `{"token":` + json + `}` }
	in := func(user, name, conference string) met {
		return met{UserID: user, UserName: name, ConferenceID: conference}
	}
	no := func(code, detail string) met { return met{Code: code, Detail: detail} }
	return []visitCase{
		{"", nil, "", no("unauthorized", "a token is needed")},
		{"userId=anna&conferenceId=42", nil, "", no("unauthorized", "a token is needed")},
		{"is_system=1", nil, "", no("unauthorized", "a token is needed")},
		{"conferenceId=42&userName=Boss", bearer(anna), "", in("anna", "", "42")},
		{"conferenceId=42&userName=Boss", bearer(named), "", in("anna", "Anna A", "42")},
		{"userId=anna&conferenceId=42", bearer(anna), "", in("anna", "", "42")},
		{"userId=undefined", bearer(anna), "", in("anna", "", "")},
		{"userId=null&conferenceId=0", bearer(anna), "", in("anna", "", "")},
		{"userId=ben", bearer(anna), "", no("forbidden", "another user")},
		{"userId=Anna", bearer(anna), "", no("forbidden", "another user")},
		{"userId=a%00", bearer(anna), "", no("bad_user_id", "")},
		{"conferenceId=43", bearer(anna), "", no("forbidden", "does not name this conference")},
		{"conferenceId=43", bearer(named), "", in("anna", "Anna A", "43")},
		{"conferenceId=41", bearer(listed), "", in("anna", "", "41")},
		{"conferenceId=41", bearer(signed(t, auth.Identity{UserID: "ben"})), "", no("forbidden", "not a member")},
		{"conferenceId=43", bearer(listed), "", no("forbidden", "not a member")},
		{"", bearer(listed), "", in("anna", "", "")},
		{"", bearer(late), "", no("unauthorized", "expired")},
		{"", bearer(anna + "x"), "", no("unauthorized", "")},
		{"", http.Header{"Authorization": {"bearer  " + anna}}, "", in("anna", "", "")},
		{"", http.Header{"Authorization": {"Basic YW5uYTphbm5h"}}, "", no("unauthorized", "a token is needed")},
		{"", http.Header{"Authorization": {"Bearer "}}, "", no("unauthorized", "a token is needed")},
		{"", cookie("seat", anna), "", in("anna", "", "")},
		{"", cookie("other", anna), "", no("unauthorized", "a token is needed")},
		{"", http.Header{"Authorization": {"Bearer x"}, "Cookie": {"seat=" + anna}}, "", no("unauthorized", "malformed")},
		{"token=" + anna, nil, "", no("unauthorized", "from the URL")},
		{"token=" + late, bearer(anna), "", in("anna", "", "")},
		{"token=" + anna + "&token=" + anna, nil, "", no("unauthorized", "once")},
		{"is_system=1", bearer(anna), "", no("forbidden", "system client")},
		{"is_system=1&conferenceId=42", bearer(robot), "", in("robot", "", "")},
		{"is_system=1&conferenceId=43", bearer(robot), "", no("forbidden", "does not name this conference")},
		{"is_system=1&conferenceId=41", bearer(signed(t, auth.Identity{UserID: "robot", System: true})), "", no("forbidden", "not a member")},
		{"is_system=1&userId=anna", bearer(robot), "", no("forbidden", "another user")},
		{"conferenceId=42", bearer(robot), "", in("robot", "", "42")},
		{"", nil, claim(`"` + anna + `"`), in("anna", "", "")},
		{"", bearer(anna), claim(`"x"`), no("unauthorized", "malformed")},
		{"", bearer(anna), claim(`""`), in("anna", "", "")},
		{"", bearer(anna), claim(`null`), in("anna", "", "")},
		{"", bearer(anna), `{}`, in("anna", "", "")},
		{"", bearer(anna), claim(`7`), no("unauthorized", "must be a string")},
		{"", bearer(anna), claim(`true`), no("unauthorized", "must be a string")},
		{"", bearer(anna), claim(`["` + anna + `"]`), no("unauthorized", "must be a string")},
		{"", bearer(anna), claim(`{"token":"` + anna + `"}`), no("unauthorized", "must be a string")},
		{"", nil, claim(`"` + strings.Repeat("x", 60_000) + `"`), no("unauthorized", "")},
	}
}

// Who may come in: what is signed is believed, and nothing else that a client says of itself. The short run takes the ways to
// come in turns.
func TestWhoMayComeIn(t *testing.T) {
	o := locked(t, func(c *Config) { c.CookieName, c.MaxSessionsPerUser = "seat", 1000 })
	o.members(t, "41", "anna")
	visits, wrong := 0, 0
	for i, c := range visitCases(t) {
		all := ways(c.claim != "")
		names := slices.Sorted(maps.Keys(all))
		for j := range storetest.Size(len(names), 1) {
			way := names[(i+j)%len(names)]
			v := all[way]
			v.query, v.header, v.claim = c.query, c.header, c.claim
			got := o.come(t, v)
			visits++
			if c.want.Code != "" && got.Code == "" {
				wrong++
			}
			want := c.want
			if strings.Contains(got.Detail, want.Detail) {
				want.Detail = got.Detail
			}
			hasSession := got.SessionID != ""
			if want.SessionID = got.SessionID; got != want || hasSession != (want.Code == "" && !strings.Contains(c.query, "is_system")) {
				t.Errorf("%s, %.60s, header %.40v, auth %.40s: %+v, want %+v", way, c.query, c.header, c.claim, got, want)
			}
		}
	}
	storetest.Show(t, "wrong accepts %d of %d visits: with and without tokens, over both revisions and transports", wrong, visits)
	storetest.Eventually(t, func() bool { return o.state(t, "anna") != "online" }, "a visitor who went is still there")
}

// A token in the URL is taken where the operator wants that, and comes after the other ways to show one.
func TestTokenInTheURL(t *testing.T) {
	o := locked(t, func(c *Config) { c.AllowQueryToken = true })
	for way, v := range ways(false) {
		v.query = "conferenceId=42&token=" + tokenOf(t, "anna")
		if got := o.come(t, v); got.UserID != "anna" || got.ConferenceID != "42" {
			t.Errorf("%s: %+v", way, got)
		}
		v.header = bearer(tokenOf(t, "ben"))
		if got := o.come(t, v); got.UserID != "ben" {
			t.Errorf("%s: the header comes first, but in came %+v", way, got)
		}
	}
}

// What the token says of a user is what the room is shown.
func TestRoomIsShownWhatTheTokenSays(t *testing.T) {
	o := locked(t, nil)
	c := o.dial(t, "EIO=4&conferenceId=42&userName=Boss")
	c.write(`40{"token":"` + signed(t, auth.Identity{UserID: "anna", Name: "Anna A", Role: "host", Conferences: only("42")}) + `"}`)
	if state := string(c.event("presence_state")); !strings.Contains(state, `"userName":"Anna A"`) || !strings.Contains(state, `"role":"host"`) || strings.Contains(state, "Boss") {
		t.Errorf("the room is shown %s", state)
	}
}

// A socket does not hold on to a token: neither the seat nor what the library keeps of the CONNECT has it.
func TestTokenIsNotKept(t *testing.T) {
	o := locked(t, nil)
	token := tokenOf(t, "anna")
	o.enterWith(t, token, "conferenceId=42")
	for _, s := range o.hall.seats() {
		if shown := fmt.Sprintf("%+v %+v", s.sock.Handshake().Auth, s.handshake); strings.Contains(shown, token) {
			t.Error("the socket keeps its token")
		}
	}
}
