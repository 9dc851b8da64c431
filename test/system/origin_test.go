package system_test

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const listedOrigin = "https://good.example"

// origins are pages that may want to connect, and whether the list {listedOrigin} lets them. "own" stands for the page that the
// server itself serves, "" for a client that is no page.
var origins = map[string]bool{
	"":                                       true,
	"own":                                    true,
	listedOrigin:                             true,
	"null":                                   false,
	"https://evil.example":                   false,
	"https://good.example.evil":              false,
	"https://good.evil":                      false,
	"https://good.example:8443":              false,
	"http://good.example":                    false,
	"https://evil.example#" + "good.example": false,
	"https://good.example@evil.example":      false,
	"https://sub.good.example":               false,
	"http://127.0.0.1":                       false,
	"http://localhost":                       false,
	"file://":                                false,
}

// Show 3, with real clients: the pages of strangers get in by no transport, those that are listed by each.
func TestOrigins(t *testing.T) {
	s := launch(t, store.SQLite, settings{"auth": "jwt", "http.allowed_origins": listedOrigin})
	driver, pass := clienttest.Start(t), token(t, "7")
	kinds := []clienttest.Options{
		{Transports: []string{"polling"}, NoUpgrade: true}, {Transports: []string{"websocket"}}, {},
		{Version: 2, Transports: []string{"polling"}, NoUpgrade: true}, {Version: 2, Transports: []string{"websocket"}}, {Version: 2},
	}
	tried, wrong := 0, 0
	for origin, allowed := range origins {
		open := make([]*clienttest.Client, len(kinds))
		for i, kind := range kinds {
			kind.URL, kind.Query = s.base, map[string]string{"conferenceId": "42"}
			o := bearing(kind, pass)
			if o.Headers == nil {
				o.Headers = map[string]string{}
			}
			if origin == "own" {
				o.Headers["Origin"] = s.base
			} else if origin != "" {
				o.Headers["Origin"] = origin
			}
			open[i] = driver.Open(t, o)
		}
		for i, c := range open {
			tried++
			if in := fate(t, c) == "in"; in != allowed {
				t.Errorf("a page of %q by %v of version %d is in: %v", origin, kinds[i].Transports, max(kinds[i].Version, 4), in)
				if in {
					wrong++
				}
			}
			c.Close(t)
		}
	}
	storetest.Show(t, "wrong accepts %d of %d: %d origins by real clients of both versions, polling, WebSocket and upgrade", wrong, tried, len(origins))
}

// Browsers ask before a page of another origin may call REST, without a key, and let it read an answer only when that says so.
func TestCORS(t *testing.T) {
	s := launch(t, store.SQLite, settings{"auth": "jwt", "http.allowed_origins": listedOrigin})
	calls := []struct{ method, path string }{
		{"GET", "/api/v1/presence"}, {"PATCH", "/api/v1/conferences/42/tree"}, {"POST", "/api/v1/notices"}, {"DELETE", "/api/v1/users/7"},
		{"POST", "/api"}, {"POST", "/api/v1/session"}, {"GET", "/api/v1/notices/export.csv"},
	}
	tried, wrong := 0, 0
	for origin, allowed := range origins {
		if origin == "" || origin == "own" {
			continue
		}
		for _, c := range calls {
			tried++
			before, h := s.call("OPTIONS", c.path, nil, nil, "Authorization", "", "Origin", origin, "Access-Control-Request-Method", c.method, "Access-Control-Request-Headers", "authorization,content-type")
			may := before < 300 && h.Get("Access-Control-Allow-Origin") == origin && strings.Contains(h.Get("Access-Control-Allow-Methods"), c.method)
			_, h = s.call(c.method, c.path, nil, nil, "Origin", origin)
			read := h.Get("Access-Control-Allow-Origin")
			if may != allowed || (read == origin) != allowed || read == "*" {
				t.Errorf("%s %s from %q: may call %v, may read %q", c.method, c.path, origin, may, read)
				wrong++
			}
			if !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") && allowed {
				t.Errorf("%s %s: a cache may give the answer for one origin to another", c.method, c.path)
			}
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/openapi.json", "/docs", "/no/such/path"} {
		if _, h := s.call("GET", path, nil, nil, "Origin", "https://evil.example"); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s may be read by any page", path)
		}
	}
	jsonp(t, s)
	storetest.Show(t, "%d of %d preflights and calls from other origins were answered wrongly", wrong, tried)
}

// jsonp would be a way around all of it: a script of any page that carries an answer.
func jsonp(t *testing.T, s *server) {
	t.Helper()
	for _, path := range []string{"/socket.io/?EIO=4&transport=polling&j=0", "/socket.io/?EIO=3&transport=polling&j=0", "/api/v1/presence?callback=f", "/api/v1/presence?jsonp=f"} {
		var body string
		status, h := s.call("GET", path, nil, &body)
		if kind := h.Get("Content-Type"); status == http.StatusOK && (strings.Contains(kind, "javascript") || strings.HasPrefix(body, "f(") || strings.HasPrefix(body, "___eio")) {
			t.Errorf("GET %s answers a script: %d %s", path, status, kind)
		}
	}
}
