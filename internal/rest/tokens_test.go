package rest

import (
	"strings"
	"testing"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestTokens: the call of the older gateway works as its backend knows it, also when that says that JSON is a form.
func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		b.hall.sockets = sockets("1", "1", "2")
		r := b.do("POST", "/api", `{"tokens":["1",2,"1","away","a b/<>"],"data":{"n":9007199254740993123,"x":null},"entityType":5,"unheard":{"of":1}}`, "Content-Type", "application/x-www-form-urlencoded")
		if r.Code != 200 || r.fields["delivered"] != 3.0 {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
		if said := b.heardOf("receive_message"); len(said) != 1 || said[0] != `{"entityType":5,"data":{"n":9007199254740993123,"x":null}}` {
			t.Errorf("emitted: %v", said)
		}
		if r = b.do("POST", "/api", `{"tokens":["2!"],"data":"x"}`); r.fields["delivered"] != 1.0 {
			t.Errorf("by an alias: %s", r.Body)
		}
		if said := b.heardOf("receive_message"); said[len(said)-1] != `{"entityType":null,"data":"x"}` {
			t.Errorf("emitted: %v", said)
		}
		for _, body := range []string{``, `{}`, `{"tokens":[]}`, `{"tokens":null,"data":1}`} {
			if r = b.do("POST", "/api", body); r.Code != 200 || r.fields["delivered"] != 0.0 {
				t.Errorf("%q: %d %s", body, r.Code, r.Body)
			}
		}
		// A name in another case is an unknown field; once it replaced the known one, unchecked.
		if r = b.do("POST", "/api", `{"tokens":[1],"data":"mine","Tokens":[2],"DATA":"theirs","x":null}`); r.fields["delivered"] != 2.0 {
			t.Errorf("fields in another case: %s", r.Body)
		}
		if said := b.heardOf("receive_message"); said[len(said)-1] != `{"entityType":null,"data":"mine"}` {
			t.Errorf("emitted: %v", said)
		}
		before := len(b.heardOf("receive_message"))
		first := b.do("POST", "/api", `{"tokens":[1],"data":1}`, "Idempotency-Key", "k")
		if again := b.do("POST", "/api", `{"tokens":[1],"data":1}`, "Idempotency-Key", "k"); again.Body.String() != first.Body.String() || again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, then %s", first.Body, again.Body)
		}
		if got := len(b.heardOf("receive_message")); got != before+1 {
			t.Errorf("emitted %d times", got-before)
		}
	})
}

// TestBadTokens: what cannot be read is refused as everywhere, and so are pages of strangers.
func TestBadTokens(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	b.hall.sockets = sockets("1")
	for _, c := range [][]string{
		{"400 bad_json", `{"tokens":[1]`},
		{"400 bad_json", `tokens=1`, "Content-Type", "application/x-www-form-urlencoded"},
		{"415 unsupported_media_type", `{"tokens":[1]}`, "Content-Type", "text/plain"},
		{"422 bad_payload", `[]`},
		{"422 bad_payload", `{"tokens":"1"}`},
		{"422 bad_payload", `{"tokens":[1.5]}`},
		{"422 bad_payload", `{"tokens":[null]}`},
		{"422 bad_payload", `{"tokens":[""]}`},
		{"422 bad_payload", `{"tokens":["a\u0007"]}`},
		{"422 bad_payload", `{"tokens":["` + strings.Repeat("x", 513) + `"]}`},
		{"422 too_deep", deep},
		{"413 too_large", large},
		{"413 too_large", `{"tokens":` + tooMany + `}`},
		{"422 bad_idempotency_key", `{"tokens":[1]}`, "Idempotency-Key", "é"},
		{"403 forbidden_origin", `{"tokens":[1]}`, "Origin", "https://stranger.example"},
	} {
		isProblem(t, b.do("POST", "/api", c[1], c[2:]...), c[0])
	}
	isProblem(t, b.do("GET", "/api", ""), "405 method_not_allowed")
	if said := b.heardOf("receive_message"); len(said) != 0 {
		t.Errorf("emitted: %v", said)
	}
	if r := b.do("OPTIONS", "/api", "", "Origin", "https://friend.example"); r.Code != 204 || r.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a friend's preflight: %d %v", r.Code, r.Header())
	}
}
