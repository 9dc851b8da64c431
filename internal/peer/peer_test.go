package peer

import (
	"crypto/tls"
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

// Whether a cookie may be marked Secure is known from TLS, or from a proxy that is trusted, and from nobody else.
func TestSecure(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer, proto string
		tls, want   bool
	}{
		{"203.0.113.5:1", "", true, true}, {"203.0.113.5:1", "", false, false}, {"203.0.113.5:1", "https", false, false}, {"10.1.1.1:1", "https", false, true},
		{"[::ffff:10.1.1.1]:1", "HTTPS, http", false, true}, {"10.1.1.1:1", "http", false, false}, {"10.1.1.1:1", "", false, false}, {"@", "https", false, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.TLS = c.peer, nil
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if got := proxies.Secure(r); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A browser says which page made it send a request, in one of two headers or in both; each of them can say no.
func TestOwn(t *testing.T) {
	for _, c := range []struct {
		origin, site string
		want         bool
	}{
		{"", "", true}, {"https://rollcall.example", "", true}, {"https://ROLLCALL.example", "same-origin", true}, {"", "same-origin", true}, {"", "none", true},
		{"https://rollcall.example:444", "", false}, {"https://sub.rollcall.example", "", false}, {"https://rollcall.example.evil", "", false}, {"null", "", false},
		{"", "same-site", false}, {"", "cross-site", false}, {"", "nonsense", false}, {"https://rollcall.example", "cross-site", false}, {"https://evil.example", "same-origin", false},
		{"rollcall.example", "", false}, {"https://rollcall.example@evil.example", "", false}, {"%", "", false},
	} {
		r := httptest.NewRequest("GET", "https://rollcall.example/", nil)
		for name, value := range map[string]string{"Origin": c.origin, "Sec-Fetch-Site": c.site} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if got := Own(r); got != c.want {
			t.Errorf("Origin %q, Sec-Fetch-Site %q: %v", c.origin, c.site, got)
		}
	}
}

// Of two Origin headers a proxy may have believed one and we the other; a blank one is no page's; and http is not our own scheme
// where we serve TLS ourselves.
func TestOriginsThatNoBrowserSends(t *testing.T) {
	for _, c := range []struct {
		origins []string
		tls     bool
		allowed bool
	}{
		{nil, false, true}, {[]string{"http://rollcall.example"}, false, true}, {[]string{"https://rollcall.example"}, true, true},
		{[]string{"http://rollcall.example"}, true, false}, {[]string{""}, false, false}, {[]string{"https://good.example", "https://evil.example"}, false, false},
		{[]string{"https://good.example", "https://good.example"}, false, false}, {[]string{"https://me@rollcall.example"}, false, false},
		{[]string{"https://rollcall.example/"}, false, false}, {[]string{"ftp://rollcall.example"}, false, false}, {[]string{"https://"}, false, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "rollcall.example"
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if c.origins != nil {
			r.Header["Origin"] = c.origins
		}
		if got := (Origins{"https://good.example"}).Allow(r); got != c.allowed {
			t.Errorf("origins %q, TLS %v: allowed %v", c.origins, c.tls, got)
		}
		if got := Own(r); got != c.allowed {
			t.Errorf("origins %q, TLS %v: own %v", c.origins, c.tls, got)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Origin"] = []string{"https://a.example", "https://b.example"}
	if (Origins{"*"}).Allow(r) {
		t.Error("two origins are allowed although nobody knows which is meant")
	}
}

// What a page shows or follows is fetched without an Origin, and with the cookies of whoever looks at it: any page could open a
// session in his name with an image. Which page it was is not said, so a list does not help; that all are listed does.
func TestPageThatNamesNoOrigin(t *testing.T) {
	for site, want := range map[string]bool{"": true, "same-origin": true, "none": true, "same-site": false, "cross-site": false, "nonsense": false} {
		r := httptest.NewRequest("GET", "/", nil)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if got := (Origins{"https://good.example"}).Allow(r); got != want {
			t.Errorf("Sec-Fetch-Site %q: %v", site, got)
		}
		if !(Origins{"*"}).Allow(r) {
			t.Errorf("Sec-Fetch-Site %q is refused although all are allowed", site)
		}
		r.Header.Set("Origin", "https://good.example")
		if !(Origins{"https://good.example"}).Allow(r) {
			t.Errorf("Sec-Fetch-Site %q of a page that is listed is refused", site)
		}
	}
}
