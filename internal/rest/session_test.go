package rest

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/auth"
	"rollcall/internal/peer"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// logIn logs in as POST /session does for a browser, and returns the headers with which it goes on.
func (b *bench) logIn(r auth.Role, header ...string) (answer response, cookie *http.Cookie, csrf string) {
	b.t.Helper()
	answer = b.must(201, "POST", "/session", `{"key":"`+keyOfRole(r)+`"}`, header...)
	list := answer.Result().Cookies()
	if len(list) != 1 {
		b.t.Fatalf("%d cookies", len(list))
	}
	csrf, _ = answer.fields["csrf"].(string)
	return answer, list[0], csrf
}

// TestSession is the life of a login: it has the rights of its key, changes nothing without its token, is in the log, and is
// over once it is ended, on every node.
func TestSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		answer, cookie, csrf := b.logIn(auth.Backend)
		if answer.fields["name"] != "backend" || answer.fields["role"] != "backend" || len(csrf) < 32 || answer.fields["expiresAt"].(float64) < float64(time.Now().Add(50*time.Minute).UnixMilli()) {
			t.Errorf("login: %s", answer.Body)
		}
		if cookie.Name != "rollcall_session" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || cookie.MaxAge < 3000 || cookie.MaxAge > 3700 {
			t.Errorf("cookie: %s with Max-Age %d", answer.Header().Get("Set-Cookie")[:20], cookie.MaxAge)
		}
		mine := []string{"Cookie", cookie.Name + "=" + cookie.Value}
		if r := b.must(200, "GET", "/session", "", mine...); r.fields["csrf"] != csrf || r.fields["expiresAt"] != answer.fields["expiresAt"] || r.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("session: %s %v", r.Body, r.Header())
		}
		b.must(200, "GET", "/conferences", "", mine...)
		b.refused("403 csrf", "PUT", "/users/7", `{"name":"x"}`, mine...)
		b.refused("403 csrf", "PUT", "/users/7", `{"name":"x"}`, append(mine, csrfHeader, csrf+"x")...)
		b.refused("403 csrf", "DELETE", "/session", "", mine...)
		proven := append(slices.Clone(mine), csrfHeader, csrf)
		b.must(201, "PUT", "/users/7", `{"name":"x"}`, proven...)
		b.refused("403 forbidden", "DELETE", "/users/7", "", proven...)
		other, _, _ := b.logIn(auth.Backend)
		if other.fields["csrf"] == csrf {
			t.Error("two logins have the same token")
		}
		b.refused("403 csrf", "PUT", "/users/7", `{"name":"x"}`, append(mine, csrfHeader, other.fields["csrf"].(string))...)
		if r := b.must(204, "DELETE", "/session", "", proven...); !strings.HasPrefix(r.Header().Get("Set-Cookie"), "rollcall_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict") {
			t.Errorf("logout: %v", r.Header())
		}
		b.refused("401 unauthorized", "GET", "/session", "", mine...)
		b.must(204, "DELETE", "/session", "", mine...) // over is over, and no error
		b.must(204, "DELETE", "/session", "")
		rows := b.must(200, "GET", "/notices?event=audit", "", by(auth.Viewer)...).Body.String()
		if strings.Count(rows, `"action":"login"`) != 2 || strings.Count(rows, `"action":"logout"`) != 1 || strings.Count(rows, `"actor":"backend"`) != 3 {
			t.Errorf("in the log: %s", rows)
		}
	})
}

// TestSessionEnds: a login is over with its time, and at once when its key is taken out of the configuration; a key whose role
// was changed has the new one.
func TestSessionEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		_, backend, _ := b.logIn(auth.Backend)
		_, admin, _ := b.logIn(auth.Admin)
		c := b.Config
		reg := prometheus.NewRegistry()
		list := apiKeys()
		list[2].Role = "viewer" // of the admin's key
		c.Metrics, c.Gatherer, c.Auth = reg, reg, authOf(db, list[2:])
		restarted := &bench{Door: New(c), t: t, hall: b.hall}
		restarted.refused("401 unauthorized", "GET", "/conferences", "", "Cookie", backend.String())
		restarted.must(200, "GET", "/conferences", "", "Cookie", admin.String())
		if r := restarted.must(200, "GET", "/session", "", "Cookie", admin.String()); r.fields["role"] != "viewer" {
			t.Errorf("the role is %v", r.fields["role"])
		}
		write(t, db, func(tx *gorm.DB) error { return tx.Exec("UPDATE console_sessions SET expires_at = 1").Error })
		b.refused("401 unauthorized", "GET", "/conferences", "", "Cookie", backend.String())
	})
}

// TestWhereCookieCounts: the cookie is worth something in requests of our own pages only, whatever else a page may do. One
// that does not count is as none at all.
func TestWhereCookieCounts(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Origins = peer.Origins{"*"} })
	cookie, csrf := b.loggedIn(auth.Backend)
	places := 1
	for _, origin := range []string{"", "http://example.com", "https://EXAMPLE.com", "http://example.com:81", "http://sub.example.com", "https://friend.example", "https://evil.example", "null"} {
		for _, site := range []string{"", "same-origin", "none", "same-site", "cross-site"} {
			header := []string{"Cookie", cookie, csrfHeader, csrf}
			if origin != "" {
				header = append(header, "Origin", origin)
			}
			if site != "" {
				header = append(header, "Sec-Fetch-Site", site)
			}
			counts := (origin == "" || strings.HasSuffix(strings.ToLower(origin), "//example.com")) && (site == "" || site == "same-origin" || site == "none")
			for method, path := range map[string]string{"GET": "/session", "PUT": "/users/7"} {
				got := b.do(method, prefix+path, `{"name":"x"}`, header...)
				if counts != (got.Code < 300) || !counts && got.Code != 401 {
					t.Errorf("%s from %q, %q: %d", method, origin, site, got.Code)
				}
			}
			want := map[bool]int{true: 201, false: 403}[counts]
			b.from = "10.0.0." + itoa(places) + ":1" // logins of one address are few
			places++
			if got := b.do("POST", prefix+"/session", `{"key":"`+keyOfRole(auth.Viewer)+`"}`, header[4:]...); got.Code != want || (got.Header().Get("Set-Cookie") != "") != counts {
				t.Errorf("login from %q, %q: %d %v", origin, site, got.Code, got.Header()["Set-Cookie"] != nil)
			}
			if !counts { // else he could be logged out by a page of somebody else
				if got := b.do("DELETE", prefix+"/session", "", header...); got.Code != 204 || got.Header().Get("Set-Cookie") != "" {
					t.Errorf("logout from %q, %q: %d", origin, site, got.Code)
				}
			}
		}
	}
	b.must(200, "GET", "/session", "", "Cookie", cookie)
	b.refused("401 unauthorized", "GET", "/session", "", "Cookie", cookie, "Cookie", "rollcall_session=planted")
}

// TestLoginTraces: neither a key nor a cookie is in the log, in the table of Idempotency-Keys, or in any other table.
func TestLoginTraces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var log bytes.Buffer
		b := openLocked(t, db, func(c *Config) {
			c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		_, cookie, csrf := b.logIn(auth.Admin, "Idempotency-Key", "k")
		b.must(200, "GET", "/conferences", "", "Cookie", cookie.String())
		b.refused("401 unauthorized", "POST", "/session", `{"key":"`+keyOfRole(auth.Admin)+`?"}`, "Idempotency-Key", "k")
		b.refused("422 bad_payload", "POST", "/session", `{"key":"`+keyOfRole(auth.Admin)+`","more":1}`)
		b.refused("401 unauthorized", "GET", "/conferences", "", "X-API-Key", keyOfRole(auth.Admin)+"?")
		token := tokenOf(t, "7", tokenSecret+"!", time.Hour)
		b.refused("401 unauthorized", "GET", "/conferences", "", "Authorization", "Bearer "+token)
		if !strings.Contains(log.String(), "path=/api/v1/session status=201") {
			t.Errorf("the log is not the door's: %s", log.String())
		}
		var ids []string
		write(t, db, func(tx *gorm.DB) error { return tx.Raw("SELECT id FROM console_sessions").Scan(&ids).Error })
		rows := b.must(200, "GET", "/notices", "", by(auth.Viewer)...).Body.String()
		for _, secret := range []string{keyOfRole(auth.Admin), cookie.Value, csrf, token} {
			if strings.Contains(log.String()+rows+strings.Join(ids, " "), secret) {
				t.Error("a secret is written down")
			}
		}
		if n := keys(t, db); n != 0 {
			t.Errorf("%d Idempotency-Keys", n)
		}
	})
}

// TestSecureCookie: who comes by TLS, also to a proxy that we know, gets a cookie for TLS only.
func TestSecureCookie(t *testing.T) {
	proxies, err := peer.ParseProxies([]string{"192.0.2.1"}) // where the requests of these tests come from
	if err != nil {
		t.Fatal(err)
	}
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Proxies = proxies })
	if _, cookie, _ := b.logIn(auth.Viewer, "X-Forwarded-Proto", "https"); !cookie.Secure {
		t.Error("the cookie is not secure")
	}
	if _, cookie, _ := b.logIn(auth.Viewer, "X-Forwarded-Proto", "http"); cookie.Secure {
		t.Error("the cookie would not come back")
	}
}

// TestSessionOfNobody: while no key is needed the pages of the console work just as well, without a cookie.
func TestSessionOfNobody(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	const want = `{"name":"anonymous","role":"admin","csrf":"","expiresAt":null}`
	for _, r := range []response{b.must(201, "POST", "/session", `{"key":"whatever"}`), b.must(200, "GET", "/session", "")} {
		if strings.TrimSpace(r.Body.String()) != want || r.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s %v", r.Body, r.Header())
		}
	}
	b.must(204, "DELETE", "/session", "")
	locked := openLocked(t, storetest.Open(t, store.SQLite))
	if r := locked.must(200, "GET", "/session", "", by(auth.Admin)...); strings.TrimSpace(r.Body.String()) != `{"name":"admin","role":"admin","csrf":"","expiresAt":null}` {
		t.Errorf("of a key: %s", r.Body)
	}
}

// TestLogoutSaysWhatItDid: with two cookies, of which a page below the same domain may have planted one, nobody was logged out
// and he was told that he is.
func TestLogoutSaysWhatItDid(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	cookie, csrf := b.loggedIn(auth.Backend)
	two := []string{"Cookie", cookie, "Cookie", sessionCookie + "=planted", csrfHeader, csrf}
	b.refused("401 unauthorized", "DELETE", "/session", "", two...)
	b.must(200, "GET", "/session", "", "Cookie", cookie)
	b.refused("401 unauthorized", "POST", "/session", `{"key":"`+keyOfRole(auth.Backend)+`"}`, two...)
	b.must(204, "DELETE", "/session", "", "Cookie", cookie, csrfHeader, csrf)
	b.refused("401 unauthorized", "GET", "/session", "", "Cookie", cookie)
}

// TestLoginAnew: who logged in again left the session before behind, which lived on although no browser knew it any more.
func TestLoginAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := openLocked(t, db)
		_, first, _ := b.logIn(auth.Backend)
		_, second, _ := b.logIn(auth.Viewer, "Cookie", first.String())
		b.refused("401 unauthorized", "GET", "/session", "", "Cookie", first.String())
		b.must(200, "GET", "/session", "", "Cookie", second.String())
		b.refused("401 unauthorized", "POST", "/session", `{"key":"wrong"}`, "Cookie", second.String())
		b.must(200, "GET", "/session", "", "Cookie", second.String())
		_, third, _ := b.logIn(auth.Viewer, "Cookie", sessionCookie+"=old")
		b.must(200, "GET", "/session", "", "Cookie", third.String())
	})
}
