package rest

import (
	"strings"
	"testing"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestNameTwice: of a name that is there twice the last one counts, and nothing of the first one. It used to reach the
// database unchecked: a role that is none, and one that is too long for its column, which was a 500.
func TestNameTwice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/members"
		for _, role := range []string{`"king"`, `"` + strings.Repeat("x", 1000) + `"`, "7", `{"role":"host"}`} {
			b.must(201, "PUT", path, `{"members":[{"userId":1,"role":`+role+`,"name":"Ann","sort":7,"attrs":{"a":1}}],"members":[{"userId":1}]}`)
			want := `{"items":[{"userId":"1","name":"","role":"member","attrs":{},"sort":0,"excused":false}],"next":null}`
			if got := strings.TrimSpace(b.must(200, "GET", path, "").Body.String()); got != want {
				t.Errorf("%s shines through: %s", role, got)
			}
			b.must(200, "PUT", path, `{"members":[]}`)
		}
		b.refused("422 bad_payload", "PUT", path, `{"members":[{"userId":1}],"members":[{"userId":1,"role":"king"}]}`)
		b.must(202, "POST", "/notices", `{"to":{"users":["a b"]},"to":{"all":true}}`)
		b.must(202, "POST", "/push", `{"userIds":["a b"],"userIds":[1],"destination":"x"}`)
	})
}

// TestStrangeSession: a session that cannot be any is refused, and is no 500 because MariaDB keeps ids in ASCII.
func TestStrangeSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.arrive("7", "Ann")
		for _, session := range []string{"張", "👤", "\ufffd", "none", "a b"} {
			b.refused("422 bad_payload", "POST", "/conferences/42/same-screen", `{"action":"start","userId":7,"sessionId":"`+session+`"}`)
		}
		b.must(200, "POST", "/sessions/張/disconnect", "")
		b.refused("404 not_found", "POST", "/webhooks/deliveries/張/replay", "")
		b.refused("404 not_found", "GET", "/notices/張", "")
		b.must(200, "POST", "/users/7/inbox/read", `{"ids":["張"]}`)
	})
}
