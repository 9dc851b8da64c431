package rest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestUsers: names are put, one or several at once, and erased everywhere.
func TestUsers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.must(201, "PUT", "/users/7", `{"name":"Ann"}`)
		b.must(200, "PUT", "/users/7", `{"name":"Anna"}`)
		r := b.must(201, "POST", "/users", `{"users":[{"id":7,"name":"Ann"},{"id":9223372036854775807,"name":"<&>"}]}`)
		if r.fields["count"] != 2.0 || r.fields["created"] != 1.0 {
			t.Errorf("count and created: %s", r.Body)
		}
		b.must(200, "POST", "/users", `{"users":[{"id":"9223372036854775807","name":"Big"}]}`)
		b.arrive("7", "")
		b.must(202, "POST", "/push", `{"sendUserId":7,"userIds":["7"],"message":1,"destination":"hello"}`)
		storetest.Eventually(t, func() bool { return len(b.logged("online_notice")) == 1 }, "the arrival is in the log")
		b.must(204, "DELETE", "/users/7", "")
		for _, path := range []string{"/notices", "/users/7/presence", "/conferences/42/presence"} {
			if body := b.must(200, "GET", path, "").Body.String(); strings.Contains(body, "Ann") || strings.Contains(body, "192.0.2.9") || strings.Contains(body, `"d7"`) {
				t.Errorf("%s still knows an erased user: %s", path, body)
			}
		}
		b.must(204, "DELETE", "/users/nobody-knows", "")
	})
}

// TestConferences: a conference is registered, changed, ended and deleted.
func TestConferences(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.must(404, "GET", "/conferences/42", "")
		r := b.must(201, "PUT", "/conferences/42", `{"title":"Board","status":1}`)
		if r.fields["title"] != "Board" || r.fields["ended"] != false {
			t.Errorf("registered: %s", r.Body)
		}
		if tree := b.must(200, "GET", "/conferences/42/tree", ""); tree.fields["conferenceStatus"] != 1.0 {
			t.Errorf("the status is not in the tree as it was given: %s", tree.Body)
		}
		// null means absent: the title stays.
		if r = b.must(200, "PUT", "/conferences/42", `{"title":null,"ended":true,"status":null}`); r.fields["title"] != "Board" || r.fields["endedAt"] == nil {
			t.Errorf("ended: %s", r.Body)
		}
		if b.hall.heard("conference_ended 42") != 1 {
			t.Error("the room was not told of the end")
		}
		b.refused("409 conference_ended", "PATCH", "/conferences/42/tree", `{"topicInfo":{}}`)
		b.must(200, "PUT", "/conferences/42", `{"ended":false}`)
		b.must(200, "PATCH", "/conferences/42/tree", `{"topicInfo":{}}`)
		b.must(204, "DELETE", "/conferences/42", "")
		b.refused("404 not_found", "DELETE", "/conferences/42", "")
		if b.hall.heard("end conference_deleted") != 1 {
			t.Error("the sockets were not ended")
		}
	})
}

// TestConferenceSearch: a text is looked for in ids and titles, page by page, and is a text, no pattern.
func TestConferenceSearch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		for id, title := range map[string]string{"a-1": "Budget 100%", "a-2": "预算会", "a_3": "", "b-4": "budget, again", "b-5": "!"} {
			b.must(201, "PUT", "/conferences/"+id, `{"title":"`+title+`"}`)
		}
		for q, want := range map[string]string{"BUDGET": "[a-1 b-4]", "算": "[a-2]", "A-": "[a-1 a-2]", "_": "[a_3]", "%25": "[a-1]", "!": "[b-5]", "z": "[]", "": "[a-1 a-2 a_3 b-4 b-5]"} {
			found := []string{}
			for cursor := ""; ; {
				page := b.must(200, "GET", "/conferences?limit=1&q="+q+cursor, "")
				for _, item := range page.fields["items"].([]any) {
					found = append(found, item.(map[string]any)["id"].(string))
				}
				next, more := page.fields["next"].(string)
				if !more {
					break
				}
				cursor = "&cursor=" + next
			}
			if fmt.Sprint(found) != want {
				t.Errorf("%q: %v, want %s", q, found, want)
			}
		}
	})
}

// TestMembers: the list is replaced, added to, read and shortened, and the room is told each time.
func TestMembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/members"
		b.must(201, "PUT", path, `{"members":[{"userId":3,"attrs":{"seat":12345678901234567890,"unit":null}},{"userId":"1","name":null,"role":"host"},{"userId":2}]}`)
		r := b.must(200, "PUT", path, `{"members":[{"userId":3,"attrs":{"seat":12345678901234567890}},{"userId":"1","role":"host","excused":true}]}`)
		if got := r.fields["removed"].([]any); len(got) != 1 || got[0] != "2" {
			t.Errorf("removed: %s", r.Body)
		}
		b.must(201, "POST", path, `{"members":[{"userId":4},{"userId":1,"name":"Ann"}]}`)
		b.must(200, "POST", path, `{"members":[{"userId":4,"role":"observer"}]}`)
		list := b.must(200, "GET", path, "").Body.String()
		want := `{"items":[{"userId":"3","name":"","role":"member","attrs":{"seat":12345678901234567890},"sort":0,"excused":false},` +
			`{"userId":"1","name":"Ann","role":"host","attrs":{},"sort":1,"excused":true},` +
			`{"userId":"4","name":"","role":"observer","attrs":{},"sort":2,"excused":false}],"next":null}`
		if strings.TrimSpace(list) != want {
			t.Errorf("list:\n got %s\nwant %s", list, want)
		}
		b.must(204, "DELETE", path+"/4", "")
		b.refused("404 not_found", "DELETE", path+"/4", "")
		b.refused("422 bad_payload", "PUT", path, `{"members":[{"userId":1},{"userId":"1"}]}`)
		b.refused("413 too_large", "PUT", path, `{"members":[{"userId":1,"attrs":{"a":"`+strings.Repeat("x", 65536)+`"}}]}`)
		storetest.Eventually(t, func() bool { return b.hall.heard("roster 42") > 0 }, "the roster was pushed")
		r = b.must(200, "GET", "/conferences/42/presence", "")
		if r.fields["expected"] != 1.0 || r.fields["excused"] != 1.0 || r.fields["online"] != 0.0 {
			t.Errorf("presence: %s", r.Body)
		}
	})
}

// TestPresence: everybody who is there is told with address and node, by conference, by user, and in sum.
func TestPresence(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		for _, user := range []string{"1", "2", "3"} {
			b.arrive(user, "User "+user)
		}
		r := b.must(200, "GET", "/conferences/42/presence", "")
		if body := r.Body.String(); r.fields["online"] != 3.0 || !strings.Contains(body, `"ip":"192.0.2.9","node":"n1"`) {
			t.Errorf("conference: %s", body)
		}
		r = b.must(200, "POST", "/presence/query", `{"users":[2,"nobody-knows"]}`)
		if items := r.fields["items"].([]any); len(items) != 2 || items[0].(map[string]any)["userId"] != "2" {
			t.Errorf("query: %s", r.Body)
		}
		if r = b.must(200, "GET", "/presence/summary", ""); r.fields["sockets"] != 3.0 || r.fields["users"] != 3.0 || r.fields["conferences"] != 1.0 {
			t.Errorf("summary: %s", r.Body)
		}
		if r = b.must(200, "GET", "/nodes", ""); len(r.fields["items"].([]any)) != 1 {
			t.Errorf("nodes: %s", r.Body)
		}
		if got := b.pages("/presence", 2, "userId"); strings.Join(got, " ") != "1 2 3" {
			t.Errorf("pages of presence: %v", got)
		}
		b.refused("422 bad_payload", "GET", "/conferences/42/presence?at=-1", "")
	})
}

// pages reads a list to its end and returns a field of every item.
func (b *bench) pages(path string, limit int, field string) (out []string) {
	b.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	cursor := ""
	for range 1000 {
		r := b.must(200, "GET", path+sep+"limit="+itoa(limit)+cursor, "")
		list := r.fields["items"].([]any)
		if len(list) > limit {
			b.t.Fatalf("%d items on a page of %d", len(list), limit)
		}
		for _, item := range list {
			out = append(out, fmt.Sprint(item.(map[string]any)[field]))
		}
		next, more := r.fields["next"].(string)
		if !more {
			return out
		}
		cursor = "&cursor=" + next
	}
	b.t.Fatal("the list has no end")
	return nil
}

// TestKick: sockets are ended, presence is closed in the database, and the log says who did it.
func TestKick(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("7", "7", "8")
		b.arrive("7", "Ann")
		if r := b.must(200, "POST", "/users/7/kick", `{"conferenceId":42,"reason":"noise"}`, "Idempotency-Key", "k"); r.fields["kicked"] != 2.0 {
			t.Errorf("kicked: %s", r.Body)
		}
		if b.hall.heard("end noise") != 1 {
			t.Error("the sockets were not ended once")
		}
		if r := b.must(200, "GET", "/conferences/42/presence", ""); r.fields["online"] != 0.0 {
			t.Errorf("still online: %s", r.Body)
		}
		b.must(200, "POST", "/users/8/kick", "")
		b.must(200, "POST", "/users/8/kick", `{"conferenceId":null,"reason":null}`)
		if r := b.must(200, "POST", "/sessions/s1/disconnect", ""); r.fields["kicked"] != 1.0 || b.hall.heard("end s1 kicked") != 1 {
			t.Errorf("disconnect: %s", r.Body)
		}
		if r := b.must(200, "POST", "/sessions/s2/disconnect", ""); r.fields["kicked"] != 0.0 {
			t.Errorf("disconnect of nobody: %s", r.Body)
		}
		if rows := b.logged("audit"); len(rows) != 5 || rows[0].(map[string]any)["actor"] != "anonymous" {
			t.Errorf("audit: %v", rows)
		}
		b.refused("422 bad_payload", "POST", "/users/8/kick", `{"barSeconds":0}`)
	})
}

// TestPush: S2's push reaches who is online, is in the log, and takes what careless backends send.
func TestPush(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1", "1", "2")
		r := b.must(202, "POST", "/push", `{"sendUserId":9007199254740993,"userIds":[1,"1",3],"message":{"n":9007199254740993,"x":null,"s":"<&>"},`+
			`"destination":"remind","conferenceId":0,"sendType":2,"valueName":"Agenda","unheard":{"of":1}}`)
		if r.fields["audience"] != 2.0 || r.fields["online"] != 1.0 {
			t.Errorf("push: %s", r.Body)
		}
		if b.hall.heard(`remind {"n":9007199254740993,"x":null,"s":"<&>"}`) != 1 {
			t.Errorf("the message was touched: %v", b.hall.told)
		}
		row := b.must(200, "GET", "/notices/"+r.fields["id"].(string), "")
		for _, part := range []string{`"senderId":"9007199254740993"`, `"message":{"n":9007199254740993,"x":null,"s":"<&>"}`, `"sendType":"2"`, `"label":"Agenda"`, `"recipients":["1","3"]`, `"conferenceId":""`} {
			if !strings.Contains(row.Body.String(), part) {
				t.Errorf("row lacks %s: %s", part, row.Body)
			}
		}
		if got := b.pages("/notices/"+r.fields["id"].(string)+"/deliveries", 1, "state"); strings.Join(got, " ") != "sent unreached" {
			t.Errorf("deliveries: %v", got)
		}
		b.must(202, "POST", "/push", `{"userIds":[1],"message":[1e999,-1e999],"destination":"huge"}`)
		if b.hall.heard(`huge [1e999,-1e999]`) != 1 {
			t.Errorf("huge numbers were touched: %v", b.hall.told)
		}
		for _, body := range []string{`{"userIds":[],"destination":"x"}`, `{"userIds":null,"destination":"x","message":null}`, `{"destination":"x"}`} {
			if r := b.must(202, "POST", "/push", body); r.fields["audience"] != 0.0 {
				t.Errorf("%s: %s", body, r.Body)
			}
		}
		b.must(202, "POST", "/push", `{"userIds":[1],"destination":"attend_login","message":"secret"}`)
		if rows := b.logged("attend_login"); len(rows) != 0 {
			t.Errorf("attend_login is in the log: %v", rows)
		}
		if r := b.must(202, "POST", "/push/all", `{"message":"hi","destination":"shout","conferenceId":{}}`); r.fields["audience"] != 2.0 {
			t.Errorf("push to all: %s", r.Body)
		}
		before := b.must(200, "GET", "/conferences/42/tree", "").fields["version"].(float64)
		b.must(202, "POST", "/push", `{"userIds":[1],"destination":"note_tree","conferenceId":"42"}`)
		if after := b.must(200, "GET", "/conferences/42/tree", "").fields["version"].(float64); after <= before {
			t.Errorf("a push of note_tree left the version at %v", after)
		}
		for _, event := range []string{"connect", "disconnect", "reconnect_attempt", "newListener", "online_notice", "kicked", "roster"} {
			b.refused("422 reserved_event", "POST", "/push", `{"destination":"`+event+`"}`)
		}
		b.refused("422 bad_event", "POST", "/push/all", `{"destination":""}`)
		b.refused("422 bad_event", "POST", "/push", `{"destination":"`+strings.Repeat("x", 65)+`"}`)
	})
}

// TestOutside: what is no part of the API answers too, and what is not there says so as a problem.
func TestOutside(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	for path, part := range map[string]string{"/healthz": `"status":"ok"`, "/readyz": `"database":"ok"`, "/metrics": `rollcall_http_requests_total{operation="list-conferences",status="200"}`, "/openapi.json": `"openapi":"3.1.0"`, "/docs": "<!doctype html>"} {
		b.must(200, "GET", "/conferences", "") // so that there is something to count
		if r := b.do("GET", path, ""); r.Code != 200 || !strings.Contains(r.Body.String(), part) {
			t.Errorf("%s: %d %.200s", path, r.Code, r.Body)
		}
	}
	b.Door.Ready = func(context.Context) map[string]error {
		return map[string]error{"database": fault.Away(errors.New("secret")), "draining": errors.New("about to stop")}
	}
	r := b.do("GET", "/readyz", "")
	if body := r.Body.String(); r.Code != 503 || r.Header().Get("Retry-After") == "" || !strings.Contains(body, `"draining":"about to stop"`) || strings.Contains(body, "secret") {
		t.Errorf("not ready: %d %s", r.Code, r.Body)
	}
	isProblem(t, b.do("GET", "/nowhere", ""), "404 not_found")
	isProblem(t, b.do("GET", prefix+"/nowhere", ""), "404 not_found")
	isProblem(t, b.do("POST", prefix+"/conferences", ""), "405 method_not_allowed")
	if r := b.do("HEAD", prefix+"/conferences", ""); r.Code != 200 {
		t.Errorf("HEAD: %d", r.Code)
	}
}

// TestOrigins: pages of strangers may not change anything, pages of friends may.
func TestOrigins(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	b.refused("403 forbidden_origin", "PUT", "/users/7", `{"name":"x"}`, "Origin", "https://stranger.example")
	b.refused("403 forbidden_origin", "OPTIONS", "/users/7", "", "Origin", "https://stranger.example")
	b.must(201, "PUT", "/users/7", `{"name":"x"}`, "Origin", "https://friend.example")
	r := b.must(204, "OPTIONS", "/users/7", "", "Origin", "https://friend.example")
	if r.Header().Get("Access-Control-Allow-Origin") != "https://friend.example" {
		t.Errorf("headers: %v", r.Header())
	}
	if r = b.must(200, "GET", "/users/7/presence", "", "Origin", "https://stranger.example"); r.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("a stranger may read")
	}
}

// TestPanic: a bug ends one request with a problem that tells nothing, or one round of the loop, not the process. It is counted.
func TestPanic(t *testing.T) {
	b := openWith(t, storetest.Open(t, store.SQLite), "", func(c *Config) { c.Net = rescue.New(c.Log, c.Metrics) })
	b.Door.Ready, b.Door.Explain = nil, nil
	for _, path := range []string{"/readyz", prefix + "/explain?userId=7"} {
		r := b.do("GET", path, "")
		isProblem(t, r, "500 internal")
		if strings.Contains(r.Body.String(), "nil") {
			t.Errorf("internals are told: %s", r.Body)
		}
	}
	db := b.DB
	b.DB = nil
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(over); err != nil {
		t.Errorf("the loop: %v", err)
	}
	b.DB = db
	holds(t, b.do("GET", "/metrics", "").Body.String(), `rollcall_panics_total{work="rest explain"} 1`, `rollcall_panics_total{work="rest ready"} 1`, `rollcall_panics_total{work="rest trim"} 1`)
}
