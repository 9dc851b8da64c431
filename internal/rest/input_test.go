package rest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/hall"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
	migrations "rollcall/sql"
)

func itoa(n int) string { return strconv.Itoa(n) }

func sockets(users ...string) (out []hall.Socket) {
	for i, u := range users {
		out = append(out, hall.Socket{SessionID: "s" + itoa(i), UserID: u, ConferenceID: "42", ClientType: "web", IP: "192.0.2." + itoa(i)})
	}
	return out
}

// Texts that are too much.
var (
	long  = strings.Repeat("x", 256)
	deep  = strings.Repeat("[", 65) + strings.Repeat("]", 65)
	large = `{"name":"` + strings.Repeat("x", 262144) + `"}`
)

// badIDs are, as all tables here: status and code, method, path, body, and headers.
var badIDs = [][]string{
	{"422 bad_id", "PUT", "/users/a%20b", `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/a%2Fb", `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/%ff", `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/%00", `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/undefined", `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/" + strings.Repeat("x", 65), `{"name":"x"}`},
	{"422 bad_id", "PUT", "/users/e%CC%81", `{"name":"x"}`},
	{"422 bad_id", "GET", "/conferences/0", ""},
	{"422 bad_id", "GET", "/conferences/a%20b/tree", ""},
	{"422 bad_id", "DELETE", "/conferences/42/members/a%20b", ""},
	{"422 bad_id", "POST", "/users", `{"users":[{"id":"","name":"x"}]}`},
	{"422 bad_id", "POST", "/users", `{"users":[{"id":"a b","name":"x"}]}`},
	{"422 bad_id", "POST", "/push", `{"userIds":["a b"],"destination":"x"}`},
	{"422 bad_id", "POST", "/push", `{"sendUserId":"a b","destination":"x"}`},
	{"422 bad_id", "POST", "/push", `{"conferenceId":"a b","destination":"x"}`},
	{"422 bad_id", "POST", "/presence/query", `{"users":["null"]}`},
	{"422 bad_id", "POST", "/users/7/kick", `{"conferenceId":"a b"}`},
	{"422 bad_id", "GET", "/notices?senderId=a%20b", ""},
	{"422 bad_id", "GET", "/notices/export.csv?conferenceId=a%20b", ""},
}

// badBodies are no JSON, no JSON of this shape, or too much of it.
var badBodies = [][]string{
	{"422 bad_payload", "POST", "/users", `{"users":[{"id":1.5,"name":"x"}]}`},
	{"422 bad_payload", "POST", "/users", `{"users":[{"id":1e3,"name":"x"}]}`},
	{"422 bad_payload", "POST", "/users", `{"users":[{"id":1e999,"name":"x"}]}`},
	{"422 bad_payload", "POST", "/users", `{"users":[{"id":true,"name":"x"}]}`},
	{"422 bad_payload", "POST", "/users", `{"users":[{"id":[1],"name":"x"}]}`},
	{"422 bad_payload", "POST", "/push", `{"userIds":[null],"destination":"x"}`},
	{"422 bad_payload", "POST", "/push", `{"userIds":"1","destination":"x"}`},
	{"422 bad_payload", "POST", "/push", `{"userIds":[1]}`},
	{"422 bad_payload", "POST", "/push", `{"destination":"note_tree"}`},
	{"422 bad_payload", "PUT", "/users/7", `{"name":"x","nmae":"y"}`},
	{"422 bad_payload", "PUT", "/users/7", `{"name":7}`},
	{"422 bad_payload", "PUT", "/users/7", `{"name":null}`},
	{"422 bad_payload", "PUT", "/users/7", `{"name":"` + long + `"}`},
	{"422 bad_payload", "PUT", "/users/7", `{"name":"a\u0000b"}`},
	{"422 bad_payload", "PUT", "/users/7", "{\"name\":\"\xff\"}"},
	{"422 bad_payload", "PUT", "/users/7", `[]`},
	{"422 bad_payload", "PUT", "/users/7", `null`},
	{"422 bad_payload", "PUT", "/users/7", ``},
	{"422 bad_payload", "PUT", "/conferences/42", `{"title":"` + long + `"}`},
	{"422 bad_payload", "PUT", "/conferences/42", `{"status":{}}`},
	{"422 bad_payload", "PUT", "/conferences/42", `{"ended":"yes"}`},
	{"422 bad_payload", "PUT", "/conferences/42/members", `{"members":[{"userId":1,"role":"king"}]}`},
	{"422 bad_payload", "PUT", "/conferences/42/members", `{"members":[{"userId":1,"attrs":[]}]}`},
	{"422 bad_payload", "PUT", "/conferences/42/members", `{"members":[{"userId":1,"sort":1e300}]}`},
	{"422 bad_payload", "PUT", "/conferences/42/members", `{"members":[{"userId":1,"sort":1e999}]}`},
	{"400 bad_json", "PUT", "/users/7", `{"name":"x"`},
	{"400 bad_json", "PUT", "/users/7", `{"name":"x"} {}`},
	{"400 bad_json", "PUT", "/users/7", "{\"name\":\"\x00\"}"},
	{"422 too_deep", "PUT", "/users/7", deep},
	{"413 too_large", "PUT", "/users/7", large},
	{"415 unsupported_media_type", "PUT", "/users/7", `{"name":"x"}`, "Content-Type", "text/plain"},
	{"400 bad_json", "POST", "/push", `a=b`, "Content-Type", "application/x-www-form-urlencoded"},
	{"422 bad_idempotency_key", "POST", "/push", `{"destination":"x"}`, "Idempotency-Key", ""},
	{"422 bad_idempotency_key", "POST", "/push", `{"destination":"x"}`, "Idempotency-Key", "é"},
	{"422 bad_idempotency_key", "POST", "/push", `{"destination":"x"}`, "Idempotency-Key", long},
	{"422 bad_idempotency_key", "POST", "/push", `{"destination":"x"}`, "Idempotency-Key", "a", "Idempotency-Key", "b"},
}

// badEdits are what a tree cannot take.
var badEdits = [][]string{
	{"422 bad_payload", "PATCH", "/conferences/42/tree", `[]`},
	{"422 unknown_section", "PATCH", "/conferences/42/tree", `{"version":3}`},
	{"404 unknown_section", "PUT", "/conferences/42/tree/push", `{}`},
	{"422 bad_payload", "PUT", "/conferences/42/tree/conferenceStatus", `{}`},
	{"400 bad_json", "PATCH", "/conferences/42/tree", ``},
	{"422 too_deep", "PUT", "/conferences/42/tree/topicInfo", deep},
	{"413 too_large", "PATCH", "/conferences/42/tree", large},
	{"412 version_mismatch", "PATCH", "/conferences/42/tree", `{}`, "If-Match", `"x"`},
}

// badQueries ask for what is not there, or cannot be asked for.
var badQueries = [][]string{
	{"422 bad_cursor", "GET", "/conferences?cursor=%21", ""},
	{"422 bad_cursor", "GET", "/conferences/42/members?cursor=x", ""},
	{"422 bad_cursor", "GET", "/presence?cursor=x", ""},
	{"422 bad_cursor", "GET", "/notices?cursor=x", ""},
	{"422 bad_payload", "GET", "/notices?limit=201", ""},
	{"422 bad_payload", "GET", "/notices?limit=0", ""},
	{"422 bad_payload", "GET", "/notices?limit=x", ""},
	{"422 bad_payload", "GET", "/notices?from=-1", ""},
	{"422 bad_payload", "GET", "/notices?from=99999999999999999999", ""},
	{"422 bad_payload", "GET", "/notices?event=a&event=b", ""},
	{"422 bad_payload", "GET", "/notices?q=%00", ""},
	{"422 bad_payload", "GET", "/notices?q=%ff", ""},
	{"422 bad_payload", "GET", "/notices?q=%zz", ""},
	{"422 bad_payload", "GET", "/notices?nonsense=1", ""},
	{"404 not_found", "GET", "/notices/01ARZ3NDEKTSV4RRFFQ69G5FAV", ""},
	{"404 not_found", "GET", "/notices/x/deliveries", ""},
}

// TestBadInput: whatever is wrong with a request, it is refused with the documented status and code, and nothing changes.
func TestBadInput(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		for _, c := range slices.Concat(badIDs, badBodies, badEdits, badQueries, badNotices, badInboxes) {
			want, method, path, body := c[0], c[1], c[2], c[3]
			t.Run(method+" "+path+" "+body[:min(len(body), 40)], func(t *testing.T) {
				isProblem(t, b.do(method, prefix+path, body, c[4:]...), want)
			})
		}
		if r := b.must(200, "GET", "/notices", ""); len(r.fields["items"].([]any)) != 0 {
			t.Errorf("a refused request left a row: %s", r.Body)
		}
		if r := b.must(200, "GET", "/conferences", ""); len(r.fields["items"].([]any)) != 0 {
			t.Errorf("a refused request made a conference: %s", r.Body)
		}
	})
}

// TestAwayDatabase: a database that does not answer is 503 with Retry-After. Here somebody keeps its only writer.
func TestAwayDatabase(t *testing.T) {
	c := storetest.DSN(t, store.SQLite)
	c.Timeout = 500 * time.Millisecond
	db := storetest.OpenConfig(t, c)
	if err := migrations.Up(t.Context(), db.SQL(), store.SQLite); err != nil {
		t.Fatal(err)
	}
	b := open(t, db)
	stuck, err := db.SQL().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	for _, c := range [][3]string{{"PUT", "/users/7", `{"name":"x"}`}, {"POST", "/push", `{"destination":"x","userIds":[1]}`}, {"PATCH", "/conferences/42/tree", `{"topicInfo":1}`}} {
		r := b.do(c[0], prefix+c[1], c[2], "Idempotency-Key", "k")
		isProblem(t, r, "503 unavailable")
		if r.Header().Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", c[1])
		}
	}
}

// TestWithoutNulls: a null is taken out wherever the shape is known, and only there.
func TestWithoutNulls(t *testing.T) {
	for _, c := range []struct {
		levels    int
		doc, want string
	}{
		{maxDepth, `{"a":null,"b":[{"c":null,"d":12345678901234567890}],"e":"null"}`, `{"b":[{"d":12345678901234567890}],"e":"null"}`},
		{maxDepth, `null`, `{}`},
		{maxDepth, `[null,1]`, `[null,1]`},
		{1, `{"a":null,"b":{"c":null}}`, `{"b":{"c":null}}`},
	} {
		if got := string(withoutNulls([]byte(c.doc), c.levels)); got != c.want {
			t.Errorf("withoutNulls(%s, %d) = %s, want %s", c.doc, c.levels, got, c.want)
		}
	}
}

// TestHoldsNUL: only the escape of NUL is one, not its letters behind an escaped backslash.
func TestHoldsNUL(t *testing.T) {
	for doc, want := range map[string]bool{`"\u0000"`: true, `"\\u0000"`: false, `"\\\u0000"`: true, `"u0000"`: false, `"\u0001"`: false} {
		if holdsNUL([]byte(doc)) != want {
			t.Errorf("holdsNUL(%s) is not %v", doc, want)
		}
	}
}
