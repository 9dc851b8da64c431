package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// heardOf returns what was emitted under an event.
func (b *bench) heardOf(event string) (list []string) {
	b.hall.mu.Lock()
	defer b.hall.mu.Unlock()
	for _, t := range b.hall.told {
		if text, ok := strings.CutPrefix(t, event+" "); ok {
			list = append(list, text)
		}
	}
	return list
}

// states returns what became of a notice, by user.
func (b *bench) states(noticeID string) string {
	b.t.Helper()
	users, states := b.pages("/notices/"+noticeID+"/deliveries", 200, "userId"), b.pages("/notices/"+noticeID+"/deliveries", 200, "state")
	var list []string
	for i, u := range users {
		list = append(list, u+" "+states[i])
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s is missing in %s", part, text)
		}
	}
}

// TestPostNotice: who is there gets it at once, for who is not it waits, and data is not touched.
func TestPostNotice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1", "1", "2")
		const data = `{"n":9007199254740993123,"x":null,"s":"<&>"}`
		r := b.must(202, "POST", "/notices", `{"to":{"users":[1,"1",3],"conference":null,"all":null},"title":null,"body":"Hello","data":`+data+`,"category":"remind",`+
			`"senderId":7,"label":"Agenda","sendType":2,"requireAck":true,"except":null,"ttlSeconds":3600,"unreachedAfterSeconds":60}`)
		if r.fields["audience"] != 2.0 || r.fields["online"] != 1.0 || r.fields["queued"] != 1.0 {
			t.Errorf("answer: %s", r.Body)
		}
		noticeID := r.fields["id"].(string)
		said := b.heardOf("notice")
		if len(said) != 1 {
			t.Fatalf("emitted: %v", said)
		}
		holds(t, said[0], `"id":"`+noticeID+`"`, `"event":"notice"`, `"category":"remind"`, `"conferenceId":""`, `"senderId":"7"`, `"title":""`, `"body":"Hello"`, `"data":`+data, `"requireAck":true`)
		if got := b.states(noticeID); got != "1 sent, 3 queued" {
			t.Errorf("deliveries: %s", got)
		}
		holds(t, b.must(200, "GET", "/notices/"+noticeID, "").Body.String(), `"label":"Agenda"`, `"sendType":"2"`, `"senderId":"7"`, `"category":"remind"`, `"state":"sent"`, `"data":`+data, `"actor":"anonymous"`)
		holds(t, b.must(200, "GET", "/users/3/inbox", "").Body.String(), `"data":`+data, `"read":false`, `"next":null`, `"unread":{"total":1,"byCategory":{"remind":1}}`)
	})
}

// TestNoticeKinds: a name of one's own and raw ones have two arguments; what is transient waits for nobody; what is
// scheduled waits for its time; what is for a conference or for all finds its people.
func TestNoticeKinds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1", "2")
		post := func(body string, want ...float64) string {
			t.Helper()
			r := b.must(202, "POST", "/notices", body)
			for i, field := range []string{"audience", "online", "queued"} {
				if r.fields[field] != want[i] {
					t.Errorf("%s: %s", body, r.Body)
					break
				}
			}
			return r.fields["id"].(string)
		}
		noticeID := post(`{"event":"shout","to":{"users":[1]},"data":[1e400,null]}`, 1, 1, 0)
		if said := b.heardOf("shout"); len(said) != 1 || !strings.HasPrefix(said[0], `[1e400,null] {"id":"`+noticeID+`"`) || strings.Contains(said[0], `"data"`) {
			t.Errorf("emitted: %v", said)
		}
		post(`{"raw":true,"to":{"users":[1]},"data":"x"}`, 1, 1, 0)
		if said := b.heardOf("notice"); len(said) != 1 || !strings.HasPrefix(said[0], `"x" {`) {
			t.Errorf("raw: %v", said)
		}
		post(`{"to":{"users":[1,9]},"store":false,"requireAck":true}`, 2, 1, 0)
		b.must(200, "GET", "/users/9/inbox", "")
		if r := b.must(200, "GET", "/users/9/inbox", ""); len(r.fields["items"].([]any)) != 0 {
			t.Errorf("what is transient waits: %s", r.Body)
		}
		post(`{"to":{"users":[1,2]},"except":["2"],"clientTypes":["pad",7]}`, 1, 0, 1)
		post(`{"to":{"users":[1,2]},"conferenceId":"43"}`, 2, 0, 2)

		before := len(b.heardOf("notice"))
		later := post(`{"to":{"users":[1]},"sendAt":`+itoa(int(time.Now().Add(time.Hour).UnixMilli()))+`}`, 1, 0, 1)
		if len(b.heardOf("notice")) != before {
			t.Error("a scheduled notice was emitted")
		}
		holds(t, b.must(200, "GET", "/notices/"+later, "").Body.String(), `"state":"queued"`)

		b.must(201, "PUT", "/conferences/42/members", `{"members":[{"userId":1},{"userId":2},{"userId":3}]}`)
		post(`{"to":{"conference":42},"except":["2"]}`, 2, 1, 1)
		b.must(202, "POST", "/notices", `{"to":{"all":true},"sendAt":1}`)
		b.must(202, "POST", "/notices", `{"event":"attend_login","to":{"users":[1]},"body":"secret"}`)
		if rows := b.logged("attend_login"); len(rows) != 0 {
			t.Errorf("attend_login is in the log: %v", rows)
		}
	})
}

// TestNoticeOnce: the same key posts one notice.
func TestNoticeOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1")
		const body = `{"to":{"users":[1]},"body":"once"}`
		first := b.must(202, "POST", "/notices", body, "Idempotency-Key", "k")
		if again := b.must(202, "POST", "/notices", body, "Idempotency-Key", "k"); again.Body.String() != first.Body.String() {
			t.Errorf("%s, then %s", first.Body, again.Body)
		}
		if said := b.heardOf("notice"); len(said) != 1 || len(b.logged("notice")) != 1 {
			t.Errorf("emitted %d times: %v", len(said), said)
		}
	})
}

// TestMembersAreAskedOutside: while the meeting backend thinks about who the members are, others can write, also when
// the request has a key and so becomes one transaction.
func TestMembersAreAskedOutside(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var b *bench
		var asked, written atomic.Int32
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			written.Store(int32(b.do("PUT", prefix+"/users/9", `{"name":"Nora"}`).Code))
			_, _ = io.WriteString(w, `["1",2]`)
		}))
		defer backend.Close()
		b = openAsking(t, db, backend.URL+"/{conferenceId}")
		r := b.must(202, "POST", "/notices", `{"to":{"conference":"77"}}`, "Idempotency-Key", "k")
		if r.fields["audience"] != 2.0 || asked.Load() != 1 || written.Load() != 201 {
			t.Errorf("asked %d times, written meanwhile: %d; %s", asked.Load(), written.Load(), r.Body)
		}
	})
}

// TestRecall: what is taken back is out of the inbox, and who has it is told, once.
func TestRecall(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1")
		noticeID := b.must(202, "POST", "/notices", `{"to":{"users":[1,2]}}`).fields["id"].(string)
		b.must(204, "DELETE", "/notices/"+noticeID, "")
		if said := b.heardOf("notice_recalled"); len(said) == 0 || !strings.HasPrefix(said[0], `{"id":"`+noticeID+`","at":`) {
			t.Errorf("told: %v", said)
		}
		for _, user := range []string{"1", "2"} {
			if r := b.must(200, "GET", "/users/"+user+"/inbox", ""); len(r.fields["items"].([]any)) != 0 {
				t.Errorf("it is still there: %s", r.Body)
			}
		}
		holds(t, b.must(200, "GET", "/notices/"+noticeID, "").Body.String(), `"state":"recalled"`)
		told := len(b.heardOf("notice_recalled"))
		b.must(204, "DELETE", "/notices/"+noticeID, "")
		if len(b.heardOf("notice_recalled")) != told {
			t.Error("told again")
		}
		b.refused("404 not_found", "DELETE", "/notices/01ARZ3NDEKTSV4RRFFQ69G5FAV", "")
		b.refused("404 not_found", "DELETE", "/notices/nonsense", "")
		rows := b.logged("audit")
		if len(rows) == 0 {
			t.Fatal("nobody knows who took it back")
		}
		holds(t, b.must(200, "GET", "/notices?event=audit", "").Body.String(), `"action":"notice.recall"`, `"noticeId":"`+noticeID+`"`)
	})
}

// TestOnlyNoticesAreTakenBack: once any row of the log could be, so that an audit row came to say of itself that it had
// been recalled.
func TestOnlyNoticesAreTakenBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1")
		b.must(204, "DELETE", "/notices/"+b.must(202, "POST", "/notices", `{"to":{"users":[1]}}`).fields["id"].(string), "")
		b.must(202, "POST", "/push", `{"userIds":[1],"destination":"hello"}`)
		for _, event := range []string{"audit", "hello"} {
			rows := b.logged(event)
			if len(rows) != 1 {
				t.Fatalf("%s: %v", event, rows)
			}
			rowID := rows[0].(map[string]any)["id"].(string)
			b.refused("409 conflict", "DELETE", "/notices/"+rowID, "")
			holds(t, b.must(200, "GET", "/notices/"+rowID, "").Body.String(), `"state":"sent"`)
		}
		if n := len(b.logged("audit")); n != 1 {
			t.Errorf("%d audit rows", n)
		}
	})
}

// tooMany is a list of more users than one call may name.
var tooMany = "[" + strings.TrimSuffix(strings.Repeat("1,", 10001), ",") + "]"

// badNotices are what cannot be said; see badIDs.
var badNotices = [][]string{
	{"422 bad_audience", "POST", "/notices", ``},
	{"422 bad_audience", "POST", "/notices", `{"to":{}}`},
	{"422 bad_audience", "POST", "/notices", `{"to":null}`},
	{"422 bad_audience", "POST", "/notices", `{"to":{"all":false,"users":null,"conference":"0"}}`},
	{"422 bad_audience", "POST", "/notices", `{"to":{"all":true,"users":[1]}}`},
	{"422 bad_audience", "POST", "/notices", `{"to":{"all":true,"conference":42}}`},
	{"422 bad_audience", "POST", "/notices", `{"to":{"users":[1],"conference":42}}`},
	{"422 empty_audience", "POST", "/notices", `{"to":{"users":[]}}`},
	{"422 empty_audience", "POST", "/notices", `{"to":{"users":[1]},"except":["1"]}`},
	{"422 empty_audience", "POST", "/notices", `{"to":{"conference":"nobody-there"}}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"everybody":true}}`},
	{"422 bad_payload", "POST", "/notices", `{"to":"all"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"users":[1,null]}}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"users":` + tooMany + `}}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"except":` + tooMany + `}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"users":["a b"]}}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"conference":"a b"}}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"all":true},"except":["undefined"]}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"all":true},"clientTypes":["a b"]}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"all":true},"conferenceId":"a b"}`},
	{"422 bad_id", "POST", "/notices", `{"to":{"all":true},"senderId":"a b"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"clientTypes":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]}`},
	{"422 reserved_event", "POST", "/notices", `{"to":{"all":true},"event":"note_tree"}`},
	{"422 reserved_event", "POST", "/notices", `{"to":{"all":true},"event":"kicked"}`},
	{"422 reserved_event", "POST", "/notices", `{"to":{"all":true},"event":"chat message"}`},
	{"422 reserved_event", "POST", "/notices", `{"to":{"all":true},"event":"connect"}`},
	{"422 reserved_event", "POST", "/notices", `{"to":{"all":true},"event":"reconnect_error","raw":true}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"event":""}`},
	{"422 bad_event", "POST", "/notices", `{"to":{"all":true},"event":"` + strings.Repeat("x", 65) + `"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"category":"gossip"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"title":"` + long + `"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"label":"` + long + `"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"sendType":"` + strings.Repeat("x", 65) + `"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"ttlSeconds":0}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"ttlSeconds":-1}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"ttlSeconds":31536001}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"unreachedAfterSeconds":0}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"unreachedAfterSeconds":604801}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"sendAt":-1}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"sendAt":9000000000000}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"sendAt":1e300}`},
	{"422 expired", "POST", "/notices", `{"to":{"all":true},"sendAt":1000,"ttlSeconds":5}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"requireAck":"yes"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"colour":"red"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"Title":"x"}`},
	// One of the two was checked and the other read: the notice had a category that does not exist.
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"category":"system","Category":"gossip"}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"users":[1],"Users":[2]}}`},
	{"422 bad_payload", "POST", "/notices", `{"to":{"all":true},"data":"a\u0000b"}`},
	{"413 too_large", "POST", "/notices", `{"to":{"all":true},"body":"` + strings.Repeat("x", 32768) + `","data":"` + strings.Repeat("x", 32768) + `"}`},
	{"404 not_found", "DELETE", "/notices/x", ""},
	{"422 bad_id", "DELETE", "/notices/a%20b", ""},
}
