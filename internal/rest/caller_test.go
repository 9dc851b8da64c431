package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestCredentials: each way to say who one is, and what is refused rather than guessed. A credential that is wrong is not
// made up for by a good one beside it.
func TestCredentials(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	viewer, token := keyOfRole(auth.Viewer), tokenOf(t, "7", tokenSecret, time.Hour)
	cookie, _ := b.loggedIn(auth.Viewer)
	for _, c := range []struct {
		name   string
		status int
		header []string
	}{
		{"bearer", 200, []string{"Authorization", "Bearer " + viewer}},
		{"scheme in another case", 200, []string{"Authorization", "bEARER " + viewer}},
		{"blanks around it", 200, []string{"Authorization", " Bearer   " + viewer + " "}},
		{"X-API-Key", 200, []string{"X-API-Key", viewer}},
		{"both the same", 200, []string{"X-API-Key", viewer, "Authorization", "Bearer " + viewer}},
		{"cookie", 200, []string{"Cookie", cookie}},
		{"empty headers are none", 200, []string{"Authorization", "", "X-API-Key", "", "Cookie", cookie}},
		{"a bearer of nothing is none", 200, []string{"Authorization", "Bearer ", "X-API-Key", viewer}},
		{"an empty cookie is none", 401, []string{"Cookie", sessionCookie + "="}},
		{"a key with an old cookie beside it", 200, []string{"X-API-Key", viewer, "Cookie", sessionCookie + "=old"}},
		{"nothing", 401, nil},
		{"two different", 401, []string{"X-API-Key", keyOfRole(auth.Admin), "Authorization", "Bearer " + viewer}},
		{"two bearers", 401, []string{"Authorization", "Bearer " + viewer, "Authorization", "Bearer " + viewer}},
		{"two keys", 401, []string{"X-API-Key", viewer, "X-API-Key", keyOfRole(auth.Admin)}},
		{"basic", 401, []string{"Authorization", "Basic " + viewer}},
		{"no scheme", 401, []string{"Authorization", viewer}},
		{"another scheme beside a key", 401, []string{"Authorization", "Digest x", "X-API-Key", viewer}},
		{"wrong key beside a cookie", 401, []string{"X-API-Key", "wrong", "Cookie", cookie}},
		{"key in the query", 401, nil},
		{"a longer key", 401, []string{"X-API-Key", viewer + "x"}},
		{"a shorter key", 401, []string{"X-API-Key", viewer[:len(viewer)-1]}},
		{"key in another case", 401, []string{"X-API-Key", strings.ToUpper(viewer)}},
		{"huge", 401, []string{"X-API-Key", strings.Repeat("x", 30000)}},
		{"the hash of the key", 401, []string{"X-API-Key", apiKeys()[0].SHA256}},
		{"token in X-API-Key", 401, []string{"X-API-Key", token}},
		{"token of a user", 403, []string{"Authorization", "Bearer " + token}},
		{"token as cookie", 401, []string{"Cookie", sessionCookie + "=" + token}},
		{"key as cookie", 401, []string{"Cookie", sessionCookie + "=" + viewer}},
	} {
		path := prefix + "/conferences"
		if c.name == "key in the query" {
			path += "?api_key=" + viewer
		}
		if r := b.do("GET", path, "", c.header...); r.Code != c.status || r.Code == 401 && r.Header().Get("WWW-Authenticate") != `Bearer realm="rollcall"` {
			t.Errorf("%s: %d %s, want %d", c.name, r.Code, r.Body, c.status)
		}
	}
	b.Auth.Tokens = nil
	isProblem(t, b.do("GET", prefix+"/users/7/inbox", "", "Authorization", "Bearer "+token), "401 unauthorized")
}

// TestAwayIssuer: while nobody can say what a token is worth its bearer is asked to come back, and keys go on working.
func TestAwayIssuer(t *testing.T) {
	tokens, err := auth.NewVerifier(auth.VerifierConfig{IntrospectURL: "http://127.0.0.1:9/introspect", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Auth.Tokens = tokens })
	r := b.do("GET", prefix+"/users/7/inbox", "", "Authorization", "Bearer something")
	isProblem(t, r, "503 unavailable")
	if r.Header().Get("Retry-After") == "" || strings.Contains(r.Body.String(), "127.0.0.1") {
		t.Errorf("%v %s", r.Header(), r.Body)
	}
	b.must(200, "GET", "/users/7/inbox", "", by(auth.Viewer)...)
}

// TestOwnInbox: a user reads and marks his own inbox, and learns nothing of another's, not even whether it can be one. His
// Idempotency-Keys are his own, also when a key of the configuration is called as he is.
func TestOwnInbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		mine := []string{"Authorization", "Bearer " + tokenOf(t, "é:7", tokenSecret, time.Hour)}
		b.must(202, "POST", "/notices", `{"to":{"users":["é:7","8"]},"title":"hello"}`, by(auth.Backend)...)
		holds(t, b.must(200, "GET", "/users/%C3%A9:7/inbox", "", mine...).Body.String(), `"title":"hello"`)
		holds(t, b.must(200, "POST", "/users/%C3%A9%3A7/inbox/read", `{"all":true}`, append(mine, "Idempotency-Key", "k")...).Body.String(), `"total":0`)
		for _, path := range []string{"/users/8/inbox", "/users/%C3%A9:8/inbox", "/users/e%CC%81:7/inbox", "/users/a%20b/inbox", "/users/%C3%89:7/inbox"} {
			b.refused("403 forbidden", "GET", path, "", mine...)
			b.refused("403 forbidden", "POST", path+"/read", `{"all":true}`, mine...)
		}
		b.refused("403 forbidden", "POST", "/users/8/inbox/read", `nonsense`, mine...)
		r := httptest.NewRequest("POST", "/api/v1/users/7/inbox/read", nil)
		r.Header.Set("Idempotency-Key", "k")
		one, _ := keyOf(r, Caller{Name: "user 7", Role: auth.User, UserID: "7"}, nil)
		two, _ := keyOf(r, Caller{Name: "user 7", Role: auth.Backend}, nil)
		if one.id == two.id {
			t.Error("a key that is called as a user is gets his answers")
		}
	})
}

// flood sends the same request again and again, and returns how many were let through. Every other one must be told when to
// come again, and its body must not be read.
func (b *bench) flood(status int, header ...string) (through int) {
	b.t.Helper()
	const many = 60
	for range many {
		body := &unreadBody{Reader: strings.NewReader(`{"name":"x"}`)}
		r := httptest.NewRequest("PUT", prefix+"/users/7", body)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		got := b.serve(r)
		if got.Code == status {
			through++
			continue
		}
		isProblem(b.t, got, "429 rate_limited")
		if wait := got.Header().Get("Retry-After"); body.read || wait == "" || wait == "0" {
			b.t.Errorf("too much: body read %v, Retry-After %q", body.read, wait)
		}
	}
	if through == many {
		b.t.Error("there is no limit")
	}
	return through
}

// TestRequestsPerSecond: who calls too often is told so, at no cost, and nobody else notices: not another key, not a user, not
// a stranger elsewhere. A key and its logins share what it may.
func TestRequestsPerSecond(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.RequestsPerSecond = 2 })
	began := time.Now()
	bounded := func(what string, through int) {
		t.Helper()
		if most := 4 + 2*int(time.Since(began)/time.Second+1); through > most || through < 4 {
			t.Errorf("%s: %d let through, at least 4 and at most %d", what, through, most)
		}
	}
	b.must(201, "PUT", "/users/7", `{"name":"x"}`, by(auth.Admin)...)
	cookie, csrf := b.loggedIn(auth.Backend)
	bounded("a key and its logins", b.flood(200, by(auth.Backend)...)+b.flood(200, "Cookie", cookie, csrfHeader, csrf))
	token := tokenOf(t, "7", tokenSecret, time.Hour)
	bounded("a user", b.flood(403, "Authorization", "Bearer "+token))
	bounded("nobody", b.flood(401))
	b.must(200, "GET", "/conferences", "", by(auth.Viewer)...)
	b.must(200, "GET", "/users/8/inbox", "", "Authorization", "Bearer "+tokenOf(t, "8", tokenSecret, time.Hour))
	b.from = "198.51.100.7:1"
	b.refused("401 unauthorized", "GET", "/conferences", "")
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		for range 20 {
			if r := b.do("GET", path, "", by(auth.Backend)...); r.Code != 200 {
				t.Fatalf("%s: %d", path, r.Code)
			}
		}
	}
	if text := b.do("GET", "/metrics", "", by(auth.Viewer)...).Body.String(); !strings.Contains(text, `rollcall_http_requests_total{operation="put-user",status="429"}`) {
		t.Error("what was too much is not counted")
	}
	open := openWith(t, storetest.Open(t, store.SQLite), "", func(c *Config) { c.RequestsPerSecond = 2 })
	open.must(201, "PUT", "/users/7", `{"name":"x"}`)
	open.flood(200)
}

// TestMadeUpCookies: cookies that somebody makes up are looked for in the database only so often, and so is one that is sent
// again and again.
func TestMadeUpCookies(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.RequestsPerSecond = 1 })
	began := time.Now()
	asked := func(cookie func(i int) string) (n int) {
		for i := range 200 {
			r := httptest.NewRequest("GET", prefix+"/conferences", nil)
			r.Header.Set("Cookie", sessionCookie+"="+cookie(i))
			v := &visit{request: r, address: b.from}
			if err := b.identify(r, v); !fault.Is(err, fault.Unauthorized) {
				if p, ok := errors.AsType[*problem](err); !ok || p.Status != 429 {
					t.Fatalf("%v", err)
				}
				continue
			}
			n++
		}
		return n
	}
	within := func(what string, n, most int) {
		t.Helper()
		if seconds := int(time.Since(began)/time.Second + 1); n > most+most/2*seconds {
			t.Errorf("%s: %d were looked at within %d s", what, n, seconds)
		}
	}
	b.from = "192.0.2.1"
	within("different ones", asked(func(i int) string { return fmt.Sprintf("%043d", i) }), 2*wrongPerCall)
	b.from = "192.0.2.2"
	within("the same one", asked(func(int) string { return strings.Repeat("x", 43) }), 2)
	b.from = "192.0.2.3:1"
	cookie, _ := b.loggedIn(auth.Viewer)
	b.must(200, "GET", "/conferences", "", "Cookie", cookie)
}

// TestLoginAttempts: somebody who tries keys is slowed down, also where nothing else is limited; others may log in.
func TestLoginAttempts(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	began, tried := time.Now(), 0
	for range 60 {
		r := b.do("POST", prefix+"/session", `{"key":"rck_a_guess"}`)
		if r.Code == 429 {
			isProblem(t, r, "429 rate_limited")
			if r.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			continue
		}
		isProblem(t, r, "401 unauthorized")
		tried++
	}
	if most := 10 + 5*int(time.Since(began)/time.Second+1); tried > most || tried < 10 {
		t.Errorf("%d attempts, at most %d", tried, most)
	}
	b.from = "[2001:db8::7]:1"
	b.logIn(auth.Viewer)
}

// TestDismissed: who is taken off the members list has to go, and nobody else.
func TestDismissed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		const path = "/conferences/42/members"
		b.must(201, "PUT", path, `{"members":[{"userId":1},{"userId":2},{"userId":3}]}`, by(auth.Backend)...)
		b.must(200, "PUT", path, `{"members":[{"userId":2},{"userId":3}]}`, by(auth.Backend)...)
		b.must(204, "DELETE", path+"/2", "", by(auth.Backend)...)
		storetest.Eventually(t, func() bool {
			b.hall.mu.Lock()
			defer b.hall.mu.Unlock()
			n := 0
			for _, told := range b.hall.told {
				if strings.HasPrefix(told, "end member_removed") {
					n++
				}
			}
			return n == 2
		}, "who was removed is still there")
		b.refused("404 not_found", "DELETE", path+"/2", "", by(auth.Backend)...)
	})
}

// TestHardening: every answer of this door tells browsers to do nothing with it, whatever it is an answer to.
func TestHardening(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	b.must(201, "PUT", "/conferences/42", `{}`, by(auth.Backend)...)
	for _, c := range [][]string{
		{"GET", "/healthz"}, {"GET", "/readyz"}, {"GET", "/metrics"}, {"GET", "/openapi.json"}, {"GET", "/docs"}, {"GET", "/nowhere"}, {"POST", "/healthz"},
		{"GET", "/api/v1/conferences"}, {"GET", "/api/v1/conferences/42/tree"}, {"GET", "/api/v1/notices/export.csv"}, {"DELETE", "/api/v1/session"}, {"GET", "/api/v1/x"}, {"OPTIONS", "/api/v1/users/7"},
	} {
		for _, header := range [][]string{nil, by(auth.Viewer), {"Origin", "https://friend.example"}, {"Origin", "https://stranger.example"}} {
			h := b.do(c[0], c[1], "", header...).Header()
			for name, want := range hardening {
				if got := h.Values(name); len(got) != 1 || got[0] != want && (c[1] != "/docs" || name != "Content-Security-Policy") {
					t.Errorf("%s %s: %s is %q", c[0], c[1], name, got)
				}
			}
			if kept := h.Get("Cache-Control"); strings.HasPrefix(c[1], "/api") && kept != "no-store" && kept != "private, no-cache" {
				t.Errorf("%s %s may be kept: %q", c[0], c[1], kept)
			}
		}
	}
	first := b.must(200, "GET", "/conferences/42/tree", "", by(auth.Viewer)...)
	b.must(304, "GET", "/conferences/42/tree", "", append(by(auth.Viewer), "If-None-Match", first.Header().Get("ETag"))...)
	if first.Header().Get("Cache-Control") != "private, no-cache" {
		t.Error("a tree with an ETag may not be kept at all")
	}
}

// TestReadyTellsNothing: everybody may ask /readyz, so it says what is missing, and not where it is or why.
func TestReadyTellsNothing(t *testing.T) {
	for name, want := range map[string]string{"redis": "does not answer", draining: "dial tcp 10.0.0.7:6379: refused"} {
		if got := outward(name, errors.New("dial tcp 10.0.0.7:6379: refused")); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestMetricsAreNotCached: a key in X-API-Key or a cookie means nothing to a proxy that caches, so what only some may read, and
// the refusal of others, say themselves that they are not to be kept.
func TestMetricsAreNotCached(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	for status, header := range map[int][]string{200: {"X-API-Key", keyOfRole(auth.Viewer)}, 401: nil} {
		r := b.do("GET", "/metrics", "", header...)
		if got := r.Header().Get("Cache-Control"); r.Code != status || got != "no-store" {
			t.Errorf("status %d, want %d; Cache-Control %q", r.Code, status, got)
		}
	}
}
