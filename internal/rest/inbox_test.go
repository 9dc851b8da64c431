package rest

import (
	"slices"
	"strings"
	"testing"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestInbox: pages hold everything once, newest first; what is read is counted exactly, and his clients are told.
func TestInbox(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		var want []string
		for i := range 7 {
			category := []string{"system", "remind"}[i%2]
			want = append(want, b.must(202, "POST", "/notices", `{"to":{"users":[7]},"category":"`+category+`","title":"`+itoa(i)+`"}`).fields["id"].(string))
		}
		slices.Reverse(want)
		for _, limit := range []int{1, 3, 200} {
			if got := b.pages("/users/7/inbox", limit, "id"); !slices.Equal(got, want) {
				t.Errorf("pages of %d: %v, want %v", limit, got, want)
			}
		}
		b.hall.sockets = sockets("7")
		foreign := b.must(202, "POST", "/notices", `{"to":{"users":[8]}}`).fields["id"].(string)
		r := b.must(200, "POST", "/users/7/inbox/read", `{"ids":["`+want[0]+`","`+foreign+`"]}`)
		holds(t, r.Body.String(), `"unread":{"total":6,"byCategory":{"remind":3,"system":3}}`)
		storetest.Eventually(t, func() bool {
			return slices.ContainsFunc(b.heardOf("push_message"), func(s string) bool {
				return strings.Contains(s, `"total":6`) && strings.Contains(s, `"items":[]`)
			})
		}, "his client was not told")
		if got := b.pages("/users/7/inbox?unreadOnly=true", 50, "id"); !slices.Equal(got, want[1:]) {
			t.Errorf("unread: %v", got)
		}
		if got := b.pages("/users/7/inbox?category=remind", 2, "id"); len(got) != 3 {
			t.Errorf("reminders: %v", got)
		}
		holds(t, b.must(200, "POST", "/users/7/inbox/read", `{"all":true,"category":"remind"}`).Body.String(), `"unread":{"total":3,"byCategory":{"system":3}}`)
		holds(t, b.must(200, "POST", "/users/7/inbox/read", `{"ids":[]}`).Body.String(), `"total":3`)
		holds(t, b.must(200, "POST", "/users/7/inbox/read", `{"all":true,"ids":null}`).Body.String(), `"unread":{"total":0,"byCategory":{}}`)
		holds(t, b.must(200, "GET", "/users/8/inbox", "").Body.String(), `"unread":{"total":1`)
		holds(t, b.must(200, "GET", "/users/nobody-knows/inbox", "").Body.String(), `"items":[]`, `"unread":{"total":0,"byCategory":{}}`)
	})
}

// badInboxes ask an inbox for what it has not; see badIDs.
var badInboxes = [][]string{
	{"422 bad_id", "GET", "/users/a%20b/inbox", ""},
	{"422 bad_payload", "GET", "/users/7/inbox?category=gossip", ""},
	{"422 bad_payload", "GET", "/users/7/inbox?unreadOnly=maybe", ""},
	{"422 bad_payload", "GET", "/users/7/inbox?limit=201", ""},
	{"422 bad_cursor", "GET", "/users/7/inbox?cursor=x", ""},
	{"422 bad_id", "POST", "/users/a%20b/inbox/read", `{"all":true}`},
	{"422 bad_payload", "POST", "/users/7/inbox/read", ``},
	{"422 bad_payload", "POST", "/users/7/inbox/read", `{"all":false}`},
	{"422 bad_payload", "POST", "/users/7/inbox/read", `{"all":true,"ids":["x"]}`},
	{"422 bad_payload", "POST", "/users/7/inbox/read", `{"all":true,"category":"gossip"}`},
	{"422 bad_payload", "POST", "/users/7/inbox/read", `{"ids":"x"}`},
	{"422 bad_payload", "POST", "/users/7/inbox/read", `{"ids":[{}]}`},
	{"413 too_large", "POST", "/users/7/inbox/read", `{"ids":[` + strings.Repeat(`"01ARZ3NDEKTSV4RRFFQ69G5FAV",`, 1000) + `"01ARZ3NDEKTSV4RRFFQ69G5FAV"]}`},
}
