package system_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// carrier is a client with a place for its token.
type carrier struct {
	name  string
	kind  clienttest.Options
	place string // auth, header, cookie or query
}

const tokenCookie = "meeting_token"

// carriers are the ways in which tokens are allowed to come, and the one that has to be allowed, at the end.
var carriers = []carrier{
	{"4.8 websocket, auth", clienttest.Options{Transports: []string{"websocket"}}, "auth"},
	{"4.8 polling, auth", clienttest.Options{Transports: []string{"polling"}, NoUpgrade: true}, "auth"},
	{"4.8 upgrade, auth", clienttest.Options{}, "auth"},
	{"4.8 websocket, header", clienttest.Options{Transports: []string{"websocket"}}, "header"},
	{"4.8 polling, header", clienttest.Options{Transports: []string{"polling"}, NoUpgrade: true}, "header"},
	{"2.5 websocket, header", clienttest.Options{Version: 2, Transports: []string{"websocket"}}, "header"},
	{"2.5 polling, header", clienttest.Options{Version: 2, Transports: []string{"polling"}, NoUpgrade: true}, "header"},
	{"4.8 polling, cookie", clienttest.Options{Transports: []string{"polling"}, NoUpgrade: true}, "cookie"},
	{"2.5 websocket, cookie", clienttest.Options{Version: 2, Transports: []string{"websocket"}}, "cookie"},
	{"4.8 websocket, query", clienttest.Options{Transports: []string{"websocket"}}, "query"},
	{"4.8 polling, query", clienttest.Options{Transports: []string{"polling"}, NoUpgrade: true}, "query"},
	{"2.5 polling, query", clienttest.Options{Version: 2, Transports: []string{"polling"}, NoUpgrade: true}, "query"},
}

// holding returns the client with a token in the carrier's place; "" is none at all.
func (c carrier) holding(base, token string) clienttest.Options {
	o := c.kind
	o.URL, o.Query = base, map[string]string{"userId": "7", "conferenceId": "42"}
	switch {
	case token == "":
	case c.place == "auth":
		o.Auth = map[string]any{"token": token}
	case c.place == "header":
		o.Headers = map[string]string{"Authorization": "Bearer " + token}
	case c.place == "cookie":
		o.Headers = map[string]string{"Cookie": "theme=dark; " + tokenCookie + "=" + token}
	case c.place == "query":
		o.Query["token"] = token
	}
	return o
}

// fate waits until it is decided whether a client is in, and returns "in", the code of the refusal, or "broken" when the
// connection did not even come to that.
func fate(t *testing.T, c *clienttest.Client) string {
	t.Helper()
	var end string
	storetest.EventuallyWithin(t, 30*time.Second, func() bool {
		for _, e := range c.Log() {
			var said struct{ Code string }
			_ = json.Unmarshal(e.Data, &said)
			switch {
			case e.Type == "connect":
				end = "in"
			case e.Type == "error" && said.Code != "", e.Type == "connect_error" && said.Code != "":
				end = said.Code
			case e.Type == "error", e.Type == "connect_error", e.Type == "disconnect":
				end = "broken"
			default:
				continue
			}
			return true
		}
		return false
	}, "it is never decided whether a client comes in")
	return end
}

// some returns the next n carriers, so that with a few for each token all are tried with something.
func (g *gate) some(n int) (list []carrier) {
	for range n {
		list = append(list, carriers[g.turn%len(carriers)])
		g.turn++
	}
	return list
}

// gate is a server with what is good for it.
type gate struct {
	*server
	driver   *clienttest.Driver
	good     map[string]mint
	anyQuery bool // tokens may come in the query
	turn     int
	tried    int
	accepted []string
}

// tokensAt opens servers that check tokens in different ways.
func tokensAt(t *testing.T, i *issuer, run func(t *testing.T, g *gate)) {
	atURL := curve(t)
	i.offers(published{"k1": atURL})
	byFile, byURL := honest(jwt.SigningMethodRS256, i.fileKey), honest(es256, atURL).headed("kid", "k1")
	secret := honest(jwt.SigningMethodHS256, []byte(tokenSecret))
	claims := settings{"auth": "jwt", "auth.issuer": ourIssuer, "auth.audience": ourAudience, "auth.cookie_name": tokenCookie, "log.level": "debug"}
	for name, c := range map[string]struct {
		dialect string
		with    settings
		good    map[string]mint
	}{
		"secret":                    {store.SQLite, settings{}, map[string]mint{"HS256": secret}},
		"key file and JWKS":         {store.MySQL, settings{"auth.hs256_secret": "", "auth.public_key_file": i.file, "auth.jwks_url": i.URL}, map[string]mint{"RS256": byFile, "ES256": byURL}},
		"all, and query is allowed": {store.SQLite, settings{"auth.public_key_file": i.file, "auth.jwks_url": i.URL, "auth.allow_query_token": "true", "log.format": "json"}, map[string]mint{"HS256": secret, "RS256": byFile, "ES256": byURL}},
	} {
		t.Run(name, func(t *testing.T) {
			with := maps.Clone(claims)
			maps.Copy(with, c.with)
			run(t, &gate{server: launch(t, c.dialect, with), driver: clienttest.Start(t), good: c.good, anyQuery: with["auth.allow_query_token"] != ""})
		})
	}
}

// tries lets carriers try to come in with a token, all at once, and compares what became of each with what is wanted.
func (g *gate) tries(carriers []carrier, what, token, want string) {
	g.t.Helper()
	open := make([]*clienttest.Client, len(carriers))
	for i, c := range carriers {
		open[i] = g.driver.Open(g.t, c.holding(g.base, token))
	}
	for i, c := range carriers {
		expected := want
		if c.place == "query" && !g.anyQuery && token != "" {
			expected = "unauthorized"
		}
		g.tried++
		got := fate(g.t, open[i])
		if got == "in" && expected != "in" {
			g.accepted = append(g.accepted, what+" by "+c.name)
		}
		// What is longer than any header or packet may be does not come as far as somebody who looks at it.
		if got != expected && !(len(token) > 32<<10 && got == "broken") {
			g.t.Errorf("%s by %s: %s, want %s", what, c.name, got, expected)
		}
		open[i].Close(g.t)
	}
}

// Show 2: nothing lets anybody in but a token that is good, wherever it is. The same tokens, by whomever they are sent.
func TestTokens(t *testing.T) {
	i := newIssuer(t)
	wrong, tried, good, kinds := 0, 0, 0, 0
	tokensAt(t, i, func(t *testing.T, g *gate) {
		g.tries(carriers, "no token", "", "unauthorized")
		for _, name := range slices.Sorted(maps.Keys(g.good)) {
			m := g.good[name]
			bad := forgeries(t, m, i)
			kinds = len(bad)
			for what, f := range bad {
				g.tries(g.some(storetest.Size(len(carriers), 3)), fmt.Sprintf("%s (%s)", what, name), f[0], f[1])
			}
		}
		if len(g.accepted) > 0 {
			t.Errorf("let in: %q", g.accepted)
		}
		wrong, tried = wrong+len(g.accepted), tried+g.tried
		var totals struct{ Sockets int }
		if g.must("GET", "/api/v1/presence/summary", nil, &totals); totals.Sockets != 0 {
			t.Errorf("%d sockets are in, all should have been refused", totals.Sockets)
		}
		g.tried = 0
		for name, m := range g.good {
			g.tries(carriers, "good "+name, m.text(t), "in")
			g.tries(carriers, "good for all "+name, m.with("conferences", "*").text(t), "in")
			g.tries(carriers, "with a list of audiences "+name, m.with("aud", []string{"somebody", ourAudience}).text(t), "in")
		}
		good += g.tried
	})
	storetest.Show(t, "wrong accepts %d of %d (%d kinds of bad token, by clients of both versions, in all places, at 3 servers with keys of every kind); of %d with good tokens all came in but those in a query that is not allowed", wrong, tried, kinds+1, good)
}

// A token in the URL is in nobody's log, whether it may be there or not, at any level. See also server.keepsSecrets.
func TestQueryTokenIsNotLogged(t *testing.T) {
	for _, allowed := range []string{"false", "true"} {
		s := launch(t, store.SQLite, settings{"auth": "jwt", "auth.allow_query_token": allowed, "log.level": "debug"})
		text := token(t, "7")
		signature := text[strings.LastIndex(text, ".")+1:]
		for _, query := range []url.Values{
			{"EIO": {"4"}, "transport": {"polling"}}, {"EIO": {"3"}, "transport": {"polling"}}, {"EIO": {"4"}, "transport": {"nonsense"}}, {"EIO": {"9"}},
			{"EIO": {"4"}, "transport": {"polling"}, "sid": {"unknown"}}, {"EIO": {"4"}, "transport": {"polling"}, "j": {"0"}}, {"EIO": {"4"}, "transport": {"polling"}, "userId": {"\x00"}},
		} {
			query.Set("token", text)
			for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
				var answer string
				if s.call(method, "/socket.io/?"+query.Encode(), nil, &answer); strings.Contains(answer, signature) {
					t.Errorf("%s with %v repeats the token", method, query.Get("EIO"))
				}
			}
		}
		for _, path := range []string{"/api/v1/presence", "/no/such/path", "/healthz", "/metrics", "/docs", "/socket.io/socket.io.js"} {
			s.call("GET", path+"?token="+text, nil, nil)
		}
		if strings.Contains(s.logged(), signature) {
			t.Error("the log holds the signature of the token")
		}
	}
}
