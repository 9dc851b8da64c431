package socket

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"rollcall/internal/peer"
	"rollcall/internal/storetest"
)

// originCase is an Origin, and whether a page that has it may talk to us: with no list, with good.example on the list, and
// with "*". It is written by hand, not computed.
type originCase struct {
	origins             []string // the values of the header; own stands for our own host and port
	none, listed, every bool
}

var originCases = []originCase{
	{nil, true, true, true},
	{[]string{"https://good.example"}, false, true, true},
	{[]string{"http://own"}, true, true, true},
	{[]string{"https://own"}, true, true, true}, // a proxy in front of us may end TLS
	{[]string{"http://own9"}, false, false, true},
	{[]string{"http://own."}, false, false, true},
	{[]string{"http://me@own"}, false, false, true},
	{[]string{"http://own/"}, false, false, true},
	{[]string{"ftp://own"}, false, false, true},
	{[]string{"own"}, false, false, true},
	{[]string{"//own"}, false, false, true},
	{[]string{"http://127.0.0.1"}, false, false, true},
	{[]string{"https://evil.example"}, false, false, true},
	{[]string{"null"}, false, false, true},
	{[]string{"https://good.example.evil"}, false, false, true},
	{[]string{"https://evil-good.example"}, false, false, true},
	{[]string{"https://sub.good.example"}, false, false, true},
	{[]string{"https://good.example:444"}, false, false, true},
	{[]string{"https://good.example:443"}, false, false, true},
	{[]string{"http://good.example"}, false, false, true},
	{[]string{"HTTPS://GOOD.EXAMPLE"}, false, false, true},
	{[]string{"https://good.example."}, false, false, true},
	{[]string{"https://good.example/"}, false, false, true},
	{[]string{"https://me@good.example"}, false, false, true},
	{[]string{"https://good.example@evil.example"}, false, false, true},
	{[]string{"https://evil.example#https://good.example"}, false, false, true},
	{[]string{"https://good.example https://evil.example"}, false, false, true},
	{[]string{"https://good.example, https://evil.example"}, false, false, true},
	{[]string{"file://"}, false, false, true},
	{[]string{"chrome-extension://abcdefgh"}, false, false, true},
	{[]string{"*"}, false, false, true},
	{[]string{""}, false, false, true},
	{[]string{"https://" + strings.Repeat("x", 20_000) + ".example"}, false, false, true},
	{[]string{"https://good.example", "https://evil.example"}, false, false, false},
	{[]string{"https://good.example", "https://good.example"}, false, false, false},
	{[]string{"https://evil.example", "http://own"}, false, false, false},
	{[]string{"", "https://good.example"}, false, false, false},
}

// originRequests are the five kinds of requests that a page can make, each with a header added.
var originRequests = map[string]func(o *opened, t *testing.T, h http.Header) *http.Response{
	"GET, new": func(o *opened, t *testing.T, h http.Header) *http.Response {
		return ask(t, http.MethodGet, o.url+"/socket.io/?EIO=4&transport=polling", "", h)
	},
	"GET, poll": func(o *opened, t *testing.T, h http.Header) *http.Response {
		p := o.poll(t, "EIO=4")
		p.post("40") // so that something waits
		return ask(t, http.MethodGet, p.url, "", h)
	},
	"POST": func(o *opened, t *testing.T, h http.Header) *http.Response {
		return ask(t, http.MethodPost, o.poll(t, "EIO=4").url, "40", h)
	},
	"WebSocket, new": func(o *opened, t *testing.T, h http.Header) *http.Response {
		return webSocketAnswer(t, o.url+"/socket.io/?EIO=4&transport=websocket", h)
	},
	"WebSocket, upgrade": func(o *opened, t *testing.T, h http.Header) *http.Response {
		return webSocketAnswer(t, strings.Replace(o.poll(t, "EIO=4").url, "transport=polling", "transport=websocket", 1), h)
	},
}

func ask(t *testing.T, method, target, body string, h http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func webSocketAnswer(t *testing.T, target string, h http.Header) *http.Response {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(target, "http"), h)
	if resp == nil {
		t.Fatal(err)
	}
	if err == nil {
		_ = conn.Close()
	}
	return resp
}

// A page may talk to us over polling as over WebSocket, with a fresh session as within one, if and only if its origin is
// ours or listed; and only then a browser lets it read the answer.
func TestOriginMatrix(t *testing.T) {
	wrong, cells := 0, 0
	for list, c := range map[string]struct {
		origins peer.Origins
		may     func(originCase) bool
	}{
		"no list": {nil, func(c originCase) bool { return c.none }},
		"a list":  {peer.Origins{"https://other.example", "https://good.example"}, func(c originCase) bool { return c.listed }},
		"*":       {peer.Origins{"*"}, func(c originCase) bool { return c.every }},
	} {
		o := open(t, func(config *Config) { config.Origins = c.origins })
		for _, want := range originCases {
			var header http.Header
			if want.origins != nil {
				header = http.Header{"Origin": {}}
				for _, v := range want.origins {
					header["Origin"] = append(header["Origin"], strings.Replace(v, "own", strings.TrimPrefix(o.url, "http://"), 1))
				}
			}
			for kind, request := range originRequests {
				resp := request(o, t, header)
				cells++
				may := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols
				if may && !c.may(want) {
					wrong++
				}
				if may != c.may(want) || !may && resp.StatusCode != http.StatusForbidden {
					t.Errorf("%s, %s, origin %.60q: answered %d", list, kind, want.origins, resp.StatusCode)
				}
				readable := resp.Header.Get("Access-Control-Allow-Origin")
				if wants := header.Get("Origin"); may && !strings.HasPrefix(kind, "WebSocket") && readable != wants || !may && readable != "" {
					t.Errorf("%s, %s, origin %.60q: pages of %.60q may read the answer", list, kind, want.origins, readable)
				}
			}
		}
	}
	storetest.Show(t, "wrong accepts %d of %d: %d origins, by polling and WebSocket, new and within a session, with no list, a list and *", wrong, cells, len(originCases))
}

// A cookie is a credential of a page that may talk to us, and of no other.
func TestCookieNeedsAnAllowedOrigin(t *testing.T) {
	o := locked(t, func(c *Config) { c.CookieName = "seat" })
	cookie := "seat=" + tokenOf(t, "anna")
	for origin, status := range map[string]int{"": http.StatusSwitchingProtocols, o.url: http.StatusSwitchingProtocols, "https://evil.example": http.StatusForbidden, "null": http.StatusForbidden} {
		h := http.Header{"Cookie": {cookie}}
		if origin != "" {
			h.Set("Origin", origin)
		}
		if resp := webSocketAnswer(t, o.url+"/socket.io/?EIO=3&transport=websocket", h); resp.StatusCode != status {
			t.Errorf("a page of %q with a cookie was answered %d, want %d", origin, resp.StatusCode, status)
		}
	}
}

// The address of an image is enough to open a session of revision 3, which needs no CONNECT, and browsers send no Origin for it
// but the cookie: any page made whoever looked at it present in a meeting, for as long as a session without a poll lives.
func TestPageThatShowsTheDoor(t *testing.T) {
	o := locked(t, func(c *Config) { c.CookieName = "seat" })
	show := func(site string) int {
		h := http.Header{"Cookie": {"seat=" + tokenOf(t, "anna")}, "Sec-Fetch-Site": {site}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}
		return ask(t, http.MethodGet, o.url+"/socket.io/?EIO=3&transport=polling&conferenceId=42", "", h).StatusCode
	}
	for _, site := range []string{"cross-site", "same-site"} {
		if status := show(site); status != http.StatusForbidden || o.hall.Sockets() != 0 {
			t.Errorf("a page of %s was answered %d, %d sockets are open", site, status, o.hall.Sockets())
		}
	}
	if status := show("same-origin"); status != http.StatusOK {
		t.Errorf("our own page was answered %d", status)
	}
	storetest.Eventually(t, func() bool { return o.state(t, "anna") == "online" }, "anna is there by a page of ours")
}

// Engine.IO needs two methods and browsers one more. All others are turned away before anything is looked at, and so are
// JSONP and queries in which the library and we would read different values.
func TestOddRequests(t *testing.T) {
	o := open(t, nil)
	for _, method := range []string{http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodTrace, "PROPFIND", "get"} {
		if resp := ask(t, method, o.url+"/socket.io/?EIO=4&transport=polling", "", nil); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, POST, OPTIONS" {
			t.Errorf("%s was answered %d, allowed are %q", method, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	sid := strings.TrimPrefix(o.poll(t, "EIO=4").url, o.url+"/socket.io/?transport=polling&EIO=4&")
	for _, query := range []string{
		"EIO=4&EIO=3&transport=polling", "EIO=4&transport=polling&transport=websocket", "EIO=4&transport=polling&" + sid + "&sid=", "EIO=4&transport=polling&sid=&" + sid,
		"EIO=4&transport=polling&" + sid + "&" + sid, "EIO=4&transport=polling&j=0", "EIO=4&transport=polling&j=0&j=1", "EIO=4&transport=webtransport", "EIO=4", "",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if resp := ask(t, method, o.url+"/socket.io/?"+query, "", nil); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s was answered %d", method, query, resp.StatusCode)
			}
		}
	}
	if resp := ask(t, http.MethodPost, o.url+"/socket.io/?EIO=4&transport=polling", "40", nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a POST without a session was answered %d", resp.StatusCode)
	}
	if resp := ask(t, http.MethodOptions, o.url+"/socket.io/?EIO=4&transport=polling", "", http.Header{"Origin": {"https://evil.example"}}); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a preflight of a foreign page was answered %d", resp.StatusCode)
	}
}

// A request for a session that is on a WebSocket waited for ever, and so did whoever sent many.
func TestRequestBesideAWebSocket(t *testing.T) {
	o := open(t, nil)
	p := o.poll(t, "EIO=4&userId=anna")
	p.post("40")
	p.until("welcome")
	u := o.upgrade(t, p)
	u.ask("jywsping")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, transport := range []string{"websocket", "polling"} {
			if resp := ask(t, method, strings.Replace(p.url, "transport=polling", "transport="+transport, 1), "42", nil); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s by %s was answered %d", method, transport, resp.StatusCode)
			}
		}
	}
	if a := u.ask("jywsping"); !a.OK {
		t.Error(a.text)
	}
}
