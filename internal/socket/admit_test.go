package socket

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// Whoever will never be let in is told so by CONNECT_ERROR, which stock clients do not retry.
func TestRefusedForGood(t *testing.T) {
	o := open(t, func(c *Config) { c.ConnectTimeout = 3 * time.Second }) // 4.x clients that do not go by themselves
	for query, code := range map[string]string{
		"userId=a%00b&conferenceId=42":                        "bad_user_id",
		"userId=" + strings.Repeat("x", 65):                   "bad_user_id",
		"userId=a&userId=b":                                   "bad_user_id",
		"userId[]=a":                                          "bad_user_id",
		"userId[0]=a":                                         "bad_user_id",
		"userId=%E2%80%8B":                                    "bad_user_id",
		"userId=%F0%9F%98%80":                                 "bad_user_id",
		"userId=%FF":                                          "bad_user_id",
		"userId=e%CC%81":                                      "bad_user_id",
		"userId=a%0D%0Ab":                                     "bad_user_id",
		"userId=%25_'%22%5C":                                  "bad_user_id",
		"userId=anna&conferenceId=a/b":                        "bad_conference_id",
		"userId=anna&conferenceId=1&conferenceId=2":           "bad_conference_id",
		"userId=anna&conferenceId=1&clientType=a%20b":         "bad_client_type",
		"userId=anna&deviceId=" + strings.Repeat("9", 65):     "bad_client_type",
		"userId=anna&conferenceId=1&tree=half":                "bad_client_type",
		"userId=anna&conferenceId=1&tree=patch&tree=patch":    "bad_client_type",
		"userId=anna&conferenceId=1&clientType=pc&deviceId=#": "",
	} {
		if code == "" {
			continue
		}
		c := o.dial(t, "EIO=4&"+query)
		c.write("40")
		p := c.until("44")
		var refused struct {
			Message string
			Data    struct{ Code, Detail string }
		}
		if err := json.Unmarshal([]byte(p[2:]), &refused); err != nil || refused.Data.Code != code || refused.Message == "" {
			t.Errorf("%s was answered %s, want code %s", query, p, code)
		}
		old := o.dial(t, "EIO=3&"+query)
		p = old.until("44")
		var flat struct{ Message, Code string }
		if err := json.Unmarshal([]byte(p[2:]), &flat); err != nil || flat.Code != code || flat.Message == "" {
			t.Errorf("%s with 2.x was answered %s, want code %s", query, p, code)
		}
		if bye := old.until("41"); bye != "41" {
			t.Errorf("%s with 2.x was not sent a DISCONNECT, so the client would come back for ever", query)
		}
	}
	storetest.Eventually(t, func() bool { return o.hall.Sockets() == 0 }, "a refused socket keeps its seat")
}

// Whoever cannot be let in for now is refused by HTTP before a session exists, which stock clients do retry.
func TestRefusedForNow(t *testing.T) {
	o := open(t, nil)
	o.ready = func() error { return errors.New("the database is away") }
	for _, transport := range []string{"polling", "websocket"} {
		resp, err := http.Get(o.url + "/socket.io/?EIO=4&transport=" + transport)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s was answered %d with Retry-After %q", transport, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
}

func TestRequestsThatAreNoneOfOurs(t *testing.T) {
	o := open(t, nil)
	for query, want := range map[string]int{
		"EIO=4&transport=polling&j=0":        400,
		"EIO=2&transport=polling":            400,
		"transport=polling":                  400,
		"EIO=4&transport=carrier-pigeon":     400,
		"EIO=4&transport=polling&sid=nobody": 400,
	} {
		resp, err := http.Get(o.url + "/socket.io/?" + query)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s was answered %d, want %d", query, resp.StatusCode, want)
		}
	}
	req, _ := http.NewRequest("GET", o.url+"/socket.io/?EIO=4&transport=polling", nil)
	req.Header.Set("Origin", "https://elsewhere.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign page was answered %d, want 403", resp.StatusCode)
	}
}

// A nobody and a system client have no presence; a nobody gets one when he is named.
func TestNobodyAndSystem(t *testing.T) {
	o := open(t, nil)
	system := o.dial(t, "EIO=4&is_system=1&conferenceId=42")
	system.write("40")
	system.until("40")
	system.event("welcome")
	system.event("note_tree")
	system.event("presence_state")

	nobody := o.dial(t, "EIO=4&userId=undefined&conferenceId=42")
	nobody.write("40")
	nobody.until("40")
	var w struct{ SessionID, UserID, ConferenceID string }
	if err := json.Unmarshal(nobody.event("welcome"), &w); err != nil || w.UserID != "" || w.SessionID != "" || w.ConferenceID != "" {
		t.Errorf("a nobody was welcomed as %+v", w)
	}
	nobody.write(`421["user_login",{"userId":12345678901234567890}]`)
	if a := nobody.until("431"); !strings.Contains(a, `"ok":true`) {
		t.Fatalf("user_login was answered %s", a)
	}
	var diff struct {
		Online  int
		Changed []struct{ UserID string }
	}
	if err := json.Unmarshal(system.event("presence_diff"), &diff); err != nil || diff.Online != 1 || diff.Changed[0].UserID != "12345678901234567890" {
		t.Errorf("the room was told %+v, %v", diff, err)
	}
	nobody.write(`422["user_login",{"userId":"other"}]`)
	if a := nobody.until("432"); !strings.Contains(a, `"forbidden"`) {
		t.Errorf("becoming another user was answered %s", a)
	}
	nobody.write(`423["leave"]`)
	if a := nobody.until("433"); !strings.Contains(a, `"ok":true`) {
		t.Errorf("leave was answered %s", a)
	}
	var left struct {
		Online int
		Left   []string
	}
	if err := json.Unmarshal(system.event("presence_diff"), &left); err != nil || left.Online != 0 || len(left.Left) != 1 {
		t.Errorf("the room was told %+v, %v", left, err)
	}
	nobody.write(`424["leave"]`)
	if a := nobody.until("434"); !strings.Contains(a, `"no_conference"`) {
		t.Errorf("leaving twice was answered %s", a)
	}
	nobody.askBoth("user_login", `{"conferenceId":42}`, "presence_state") // which may come before the answer
}

// A payload of the wrong shape is answered, and the connection stays.
func TestBadPayloads(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 1000 })
	c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
	c.write("40")
	c.event("presence_state")
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for i, e := range []struct{ event, want string }{
		{`["roster",{"limit":"many"}]`, "bad_payload"},
		{`["roster",{"limit":100000}]`, "bad_payload"},
		{`["roster",{"cursor":"nonsense"}]`, "bad_payload"},
		{`["roster",[]]`, "bad_payload"},
		{`["roster",` + deep + `]`, "bad_payload"},
		{`["user_login",{"userId":["a"]}]`, "bad_payload"},
		{`["user_login",{"userId":"a b"}]`, "bad_payload"},
		{`["user_login",{"conferenceId":"43"}]`, "conflict"},
		{`["watch",{"conferenceIds":["42"]}]`, "forbidden"},
		{`["unwatch",{}]`, "forbidden"},
		{`["receive_client_event",17]`, "bad_payload"},
		{`["receive_client_event"]`, "bad_payload"},
		{`["tree_resync",7]`, "bad_payload"},
	} {
		id := 100 + i
		c.write("42" + itoa(id) + e.event)
		if a := c.until("43" + itoa(id)); !strings.Contains(a, `"ok":false`) || !strings.Contains(a, `"code":"`+e.want+`"`) {
			t.Errorf("%.60s was answered %s, want %s", e.event, a, e.want)
		}
	}
	c.write(`42["no_such_event",1]`)
	c.write(`42990["tree_resync"]`)
	if a := c.until("43990"); !strings.Contains(a, `"conferenceId":"42"`) {
		t.Errorf("tree_resync was answered %s", a)
	}
	c.write(`42991["roster",{"limit":1}]`)
	if a := c.until("43991"); !strings.Contains(a, `"userId":"anna"`) {
		t.Errorf("roster was answered %s", a)
	}
	c.write(`42992["receive_client_event","hello"]`)
	if a := c.until("43992"); !strings.Contains(a, `"ok":true`) {
		t.Errorf("receive_client_event was answered %s", a)
	}
	c.write("4200[") // not JSON: this ends the session
	c.ended()
}

func itoa(i int) string {
	b, _ := json.Marshal(i)
	return string(b)
}

// Too much is answered, and closes the connection only when it goes on.
func TestTooManyEvents(t *testing.T) {
	o := open(t, func(c *Config) { c.EventsPerSecond = 5 })
	c := o.dial(t, "EIO=4&userId=anna")
	c.write("40")
	c.until("40")
	for i := range 30 {
		c.write("42" + itoa(i) + `["jywsping"]`)
	}
	limited := 0
	for range 30 {
		if strings.Contains(c.until("43"), "rate_limited") {
			limited++
		}
	}
	if limited < 15 || limited > 20 {
		t.Errorf("%d of 30 events were too many, want about 20", limited)
	}
}

// A user may have so many sockets and no more; the one that has been silent for longest goes.
func TestTooManySessions(t *testing.T) {
	o := open(t, func(c *Config) { c.MaxSessionsPerUser = 2 })
	var clients []*webSocketClient
	for range 3 {
		c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
		c.write("40")
		c.event("presence_state")
		clients = append(clients, c)
	}
	if k := clients[0].event("kicked"); !strings.Contains(string(k), "too_many_sessions") {
		t.Errorf("the oldest was told %s", k)
	}
	clients[0].until("41")
}

// What closes with a goodbye has left; what just closes is lost.
func TestGoodbyeIsHeard(t *testing.T) {
	o := open(t, nil)
	watcher := o.dial(t, "EIO=4&userId=ben&conferenceId=42")
	watcher.write("40")
	watcher.event("presence_state")
	for range 20 {
		c := o.dial(t, "EIO=4&userId=anna&conferenceId=42")
		c.write("40")
		c.event("presence_state")
		watcher.event("presence_diff")
		c.write("41")
		_ = c.conn.Close() // at once: the library may hear of the close before the goodbye
		if diff := string(watcher.event("presence_diff")); !strings.Contains(diff, `"left":["anna"]`) {
			t.Fatalf("after a goodbye the room was told %s", diff)
		}
	}
}
