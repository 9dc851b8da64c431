package conference

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		ctx := t.Context()
		if _, err := b.presence.ReplaceMembers(ctx, "42", []presence.Member{{UserID: "anna", Name: "Anna"}, {UserID: "ben", Name: "Ben"}, {UserID: "carl", Excused: true}}); err != nil {
			t.Fatal(err)
		}
		if err := b.presence.PutUsers(ctx, []presence.User{{ID: "ben", Name: "Benno"}}); err != nil {
			t.Fatal(err)
		}
		b.patch(t, "42", `{"signInData":{"rule":1.10,"signed":[{"userId":7,"at":5,"seat":"A1"}]}}`)
		anna, err := b.SignIn(ctx, "42", "anna", json.RawMessage(`{"seat":9223372036854775807}`))
		if err != nil || anna == 0 {
			t.Fatal(anna, err)
		}
		again, err := b.SignIn(ctx, "42", "anna", nil)
		if err != nil || again != anna {
			t.Errorf("signing in again: %d, %v, first %d", again, err, anna)
		}
		ben, err := b.SignIn(ctx, "42", "ben", json.RawMessage(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		if seven, err := b.SignIn(ctx, "42", "7", nil); err != nil || seven != 5 {
			t.Errorf("whom the backend signed in: %d, %v", seven, err)
		}
		want := fmt.Sprintf(`{"rule":1.10,"signed":[{"userId":7,"at":5,"seat":"A1"},{"userId":"anna","userName":"Anna","at":%d},{"userId":"ben","userName":"Benno","at":%d}],"signedNumber":3,"total":2}`, anna, ben)
		if got := b.section(t, "42", "signInData"); got != want {
			t.Errorf("the section is\n%s, want\n%s", got, want)
		}
		if at, err := b.SignedAt(ctx, "42"); err != nil || len(at) != 3 || at["anna"] != anna || at["7"] != 5 {
			t.Errorf("signed at %v, %v", at, err)
		}
		told := b.told(t, "42")
		if len(told) != 2 || told[0] != `sign_in {"extra":{"seat":9223372036854775807},"userId":"anna","userName":"Anna"}` || told[1] != `sign_in {"extra":{},"userId":"ben","userName":"Benno"}` {
			t.Errorf("the backend is told %v", told)
		}
	})
}

// Everybody signs in at the same moment, on two nodes, in a conference without members.
func TestSignInAtOnce(t *testing.T) {
	const people = 10
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		one := build(t, db, nil)
		two := one.again(t)
		var all sync.WaitGroup
		for i := range people {
			for range 2 { // and twice each
				all.Go(func() {
					if _, err := []*built{one, two}[i%2].SignIn(t.Context(), "42", fmt.Sprint("u", i), nil); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		var s struct {
			Signed              []signature
			SignedNumber, Total int
		}
		if err := json.Unmarshal([]byte(one.section(t, "42", "signInData")), &s); err != nil || len(s.Signed) != people || s.SignedNumber != people || s.Total != people {
			t.Errorf("%d signed, numbers %d of %d, %v", len(s.Signed), s.SignedNumber, s.Total, err)
		}
		if at, err := one.SignedAt(t.Context(), "42"); err != nil || len(at) != people {
			t.Errorf("%d different people signed, %v", len(at), err)
		}
		if told := one.told(t, "42"); len(told) != people {
			t.Errorf("the backend is told %d times", len(told))
		}
	})
}

// What cannot be merged into is refused and left alone.
func TestSignInRefused(t *testing.T) {
	b, yes := build(t, storetest.Open(t, store.SQLite), nil), true
	for _, section := range []string{`[1]`, `"yes"`, `{"signed":3}`, `{"signed":{"a":1}}`} {
		b.patch(t, "42", `{"signInData":null}`)
		b.patch(t, "42", `{"signInData":`+section+`}`)
		if _, err := b.SignIn(t.Context(), "42", "anna", nil); !fault.Is(err, fault.Conflict) {
			t.Errorf("into %s: %v", section, err)
		}
		if at, err := b.SignedAt(t.Context(), "42"); err != nil || len(at) != 0 {
			t.Errorf("signed in %s: %v, %v", section, at, err)
		}
		if got := b.section(t, "42", "signInData"); got != section {
			t.Errorf("%s became %s", section, got)
		}
	}
	if _, err := b.SignIn(t.Context(), "42", "anna", json.RawMessage(`{`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("fields that are not JSON: %v", err)
	}
	b.patch(t, "big", `{"topicInfo":"`+strings.Repeat("x", 4070)+`"}`)
	if _, err := b.SignIn(t.Context(), "big", "anna", nil); !fault.Is(err, fault.TooLarge) {
		t.Errorf("into a full tree: %v", err)
	}
	if _, err := b.Register(t.Context(), "over", Registration{Ended: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SignIn(t.Context(), "over", "anna", nil); err != ErrEnded {
		t.Errorf("into an ended conference: %v", err)
	}
}
