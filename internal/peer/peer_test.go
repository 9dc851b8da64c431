package peer

import (
	"net/http/httptest"
	"testing"
)

// An address that a client writes into a header is believed only when a trusted proxy passes it on.
func TestAddress(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "::1", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer, want string
		forwarded  []string
	}{
		{"203.0.113.5:1234", "203.0.113.5", nil},
		{"203.0.113.5:1234", "203.0.113.5", []string{"1.2.3.4"}},
		{"10.1.1.1:1234", "1.2.3.4", []string{"1.2.3.4"}},
		{"10.1.1.1:1234", "1.2.3.4", []string{"6.6.6.6, 1.2.3.4"}},
		{"10.1.1.1:1234", "1.2.3.4", []string{"6.6.6.6", "1.2.3.4, 10.9.9.9"}},
		{"10.1.1.1:1234", "10.1.1.1", []string{"nonsense"}},
		{"10.1.1.1:1234", "10.2.2.2", []string{"nonsense, 10.2.2.2"}},
		{"10.1.1.1:1234", "10.1.1.1", []string{""}},
		{"[::1]:1234", "2001:db8::1", []string{"2001:db8::1"}},
		{"[::ffff:192.0.2.7]:1", "1.2.3.4", []string{"1.2.3.4"}},
		{"@", "", []string{"1.2.3.4"}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := proxies.Address(r); got != c.want {
			t.Errorf("peer %s, forwarded %q: %q, want %q", c.peer, c.forwarded, got, c.want)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/99", "proxy.example"} {
		if _, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q was read as a proxy", bad)
		}
	}
}

func TestOrigins(t *testing.T) {
	listed := Origins{"https://good.example"}
	for origin, want := range map[string]bool{
		"": true, "https://good.example": true, "http://rollcall.example:8080": true, "http://ROLLCALL.example:8080": true,
		"null": false, "https://good.example.evil": false, "https://good.example:444": false, "http://good.example": false,
		"http://rollcall.example": false, "https://evil.example": false, "rollcall.example:8080": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "rollcall.example:8080"
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if got := listed.Allow(r); got != want {
			t.Errorf("origin %q: %v, want %v", origin, got, want)
		}
		if !(Origins{"*"}).Allow(r) {
			t.Errorf("origin %q is refused although all are allowed", origin)
		}
	}
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.Header.Set("Origin", "https://good.example")
	w := httptest.NewRecorder()
	listed.Answer(w, r)
	if w.Header().Get("Access-Control-Allow-Origin") != "https://good.example" || w.Header().Get("Access-Control-Allow-Methods") == "" || w.Header().Get("Vary") != "Origin" {
		t.Errorf("the preflight was answered %v", w.Header())
	}
}
