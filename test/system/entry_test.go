package system_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Where a token names no conferences, the members list decides, and without one auth.open_conferences.
func TestMembersDecide(t *testing.T) {
	for open, want := range map[string]string{"false": "forbidden", "true": "in"} {
		t.Run("open "+open, func(t *testing.T) {
			bothVersions(t, store.SQLite, settings{"auth.open_conferences": open}, func(t *testing.T, s *locked) {
				s.must("PUT", "/api/v1/conferences/42/members", `{"members":[{"userId":"7"}]}`, nil)
				s.must("PUT", "/api/v1/conferences/43", `{"title":"nobody registered"}`, nil)
				s.enters(token(t, "7", unsaid), "42").Close(t)
				s.refused("forbidden", token(t, "8", unsaid), "42")
				s.enters(token(t, "8", unsaid), "").Close(t) // in no conference at all
				got := s.opens(token(t, "8", unsaid), "43")
				if f := fate(t, got); f != want {
					t.Errorf("into a conference without members: %s, want %s", f, want)
				}
				got.Close(t)
			})
		})
	}
}

// named gives a token a name and a role.
func named(name, role string) claim {
	return func(s *auth.Signing) { s.Name, s.Role = name, role }
}

// Who somebody is, the token says, and nothing else that he says changes it.
func TestNobodyIsSomebodyElse(t *testing.T) {
	bothVersions(t, store.MySQL, nil, func(t *testing.T, s *locked) {
		room := s.room()
		s.must("PUT", "/api/v1/users/8", `{"name":"Ben"}`, nil)
		ben := s.enters(token(t, "8"), room)
		anna := s.enters(token(t, "7", named("Anna", "observer")), room, "userName", "Ben")
		welcome := anna.Events("welcome")[0].Args[0]
		if !told(`"userId":"7"`, `"userName":"Anna"`)([]json.RawMessage{welcome}) {
			t.Errorf("greeted as %s", welcome)
		}
		ben.Wait(t, "presence_diff", told(`"userId":"7"`, `"userName":"Anna"`, `"role":"observer"`))
		s.refused("forbidden", token(t, "7"), room, "userId", "8")
		s.refused("forbidden", token(t, "7"), room, "userId", "7", "is_system", "1")

		for what, arg := range map[string]map[string]any{
			"another user":       {"userId": "8"},
			"another conference": {"userId": "7", "conferenceId": "elsewhere"},
			"another's alias":    {"userId": "7", "tokenId": "8"},
		} {
			if got := s.asks(anna, "user_login", arg); got == "ok" {
				t.Errorf("user_login as %s was let through", what)
			}
		}
		lost := s.enters(token(t, "7", only(room)), "")
		if got := s.asks(lost, "user_login", map[string]any{"userId": "7", "conferenceId": "elsewhere"}); got != "forbidden" {
			t.Errorf("user_login into a conference that the token does not name: %s", got)
		}

		pretend := map[string]any{"to": "8", "receiver_id": "8", "body": "hello", "from": "9", "fromName": "Boss", "userId": "9", "userName": "Boss", "senderId": "9", "id": "x"}
		for _, event := range []string{"chat message", "direct_message", "todo"} {
			if got := s.asks(anna, event, pretend); got != "ok" {
				t.Errorf("%s: %s", event, got)
			}
		}
		chat := ben.Wait(t, "chat message", nil)
		if !strings.Contains(string(chat.Args[1]), `"userId":"7"`) || strings.Contains(string(chat.Args[1]), "Boss") {
			t.Errorf("the chat line says it is from %s", chat.Args[1])
		}
		if direct := ben.Wait(t, "direct_message", nil); !strings.Contains(string(direct.Args[0]), `"from":"7","fromName":"Anna"`) {
			t.Errorf("the direct message is %s", direct.Args[0])
		}
		if todo := ben.Wait(t, "todo_message", nil); !strings.Contains(string(todo.Args[0]), `"senderId":"7"`) {
			t.Errorf("the todo is %s", todo.Args[0])
		}
		if got := s.asks(anna, "watch", map[string]any{"conferenceIds": []string{room}}); got != "forbidden" {
			t.Errorf("watch by somebody who is no system client: %s", got)
		}
	})
}

// A system client needs a token that says so, and watches only what the token names.
func TestSystemClientsNeedTheClaim(t *testing.T) {
	bothVersions(t, store.SQLite, nil, func(t *testing.T, s *locked) {
		room := s.room()
		there := "/api/v1/conferences/" + room + "/presence"
		screen := s.enters(token(t, "wall", system, only(room)), room, "is_system", "1")
		for _, c := range []struct {
			rooms []string
			want  string
		}{{[]string{room}, "ok"}, {[]string{"43"}, "forbidden"}, {[]string{room, "43"}, "forbidden"}} {
			if got := s.asks(screen, "watch", map[string]any{"conferenceIds": c.rooms}); got != c.want {
				t.Errorf("watch %v: %s, want %s", c.rooms, got, c.want)
			}
		}
		s.refused("forbidden", token(t, "wall", system, only(room)), "43", "is_system", "1")
		var presence struct{ Online int }
		if s.must("GET", there, nil, &presence); presence.Online != 0 {
			t.Errorf("%d people are online, there is only a screen", presence.Online)
		}
		s.must("PATCH", "/api/v1/conferences/"+room+"/tree", `{"topicInfo":{"now":"tea"}}`, nil)
		screen.Wait(t, "note_tree", told(`"tea"`))
		plain := s.enters(token(t, "person", system), room) // the right to be one makes nobody one
		storetest.Eventually(t, func() bool {
			s.must("GET", there, nil, &presence)
			return presence.Online == 1
		}, "who may be a system client and is none does not count as a person")
		screen.Close(t)
		plain.Close(t)
	})
}

// What a user's own token opens of REST: his inbox, and nothing of anybody else.
func TestOwnTokenAtREST(t *testing.T) {
	s := launch(t, store.SQLite, settings{"auth": "jwt"})
	s.must("POST", "/api/v1/notices", `{"to":{"users":["7","8"]},"title":"hello"}`, nil)
	mine, over := "Bearer "+token(t, "7"), "Bearer "+token(t, "7", until(time.Now().Add(-time.Second)))
	wrong := 0
	calls := []struct {
		method, path, body, authorization string
		want                              int
	}{
		{"GET", "/api/v1/users/7/inbox", "", mine, 200},
		{"POST", "/api/v1/users/7/inbox/read", `{"all":true}`, mine, 200},
		{"GET", "/api/v1/users/8/inbox", "", mine, 403},
		{"POST", "/api/v1/users/8/inbox/read", `{"all":true}`, mine, 403},
		{"GET", "/api/v1/users/7/inbox", "", over, 401},
		{"GET", "/api/v1/users/7/presence", "", mine, 403},
		{"GET", "/api/v1/notices", "", mine, 403},
		{"POST", "/api/v1/notices", `{"to":{"users":["8"]},"title":"x"}`, mine, 403},
		{"DELETE", "/api/v1/users/8", "", mine, 403},
		{"GET", "/metrics", "", mine, 403},
		{"GET", "/metrics", "", "", 401},
		{"GET", "/api/v1/presence", "", "", 401},
		{"GET", "/api/v1/presence", "", "Bearer " + viewerKey, 200},
		{"GET", "/api/v1/presence", "", "Bearer " + viewerKey + "x", 401},
		{"GET", "/api/v1/presence", "", "Basic " + viewerKey, 401},
		{"POST", "/api/v1/users/8/kick", `{}`, "Bearer " + backendKey, 403},
		{"PUT", "/api/v1/users/8", `{"name":"B"}`, "Bearer " + viewerKey, 403},
		{"PUT", "/api/v1/users/8", `{"name":"B"}`, "Bearer " + backendKey, 201},
	}
	for _, c := range calls {
		var body any
		if c.body != "" {
			body = c.body
		}
		status, h := s.call(c.method, c.path, body, nil, "Authorization", c.authorization)
		if status != c.want {
			wrong++
			t.Errorf("%s %s with %.6s...: %d, want %d", c.method, c.path, c.authorization, status, c.want)
		}
		if status == 401 && h.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: 401 does not say what is wanted", c.method, c.path)
		}
	}
	storetest.Show(t, "%d of %d calls with keys and own tokens were answered with another status than documented", wrong, len(calls))
}

const inspectPassword = "pl4nted-password-of-introspection"

// A token that only its issuer understands is asked about, with the password of the configuration; while nobody answers, clients
// are sent away for now and come back by themselves.
func TestIntrospection(t *testing.T) {
	var away atomic.Bool
	var refused atomic.Int64 // calls while it was away
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); away.Load() || user != "rollcall" || password != inspectPassword {
			refused.Add(1)
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		answer := map[string]any{"active": false}
		if user, ok := strings.CutPrefix(r.PostFormValue("token"), "opaque-"); ok {
			answer = map[string]any{"active": true, "sub": user, "conferences": "*", "exp": time.Now().Add(time.Hour).Unix()}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer endpoint.Close()
	address := strings.Replace(endpoint.URL, "http://", "http://rollcall:"+inspectPassword+"@", 1) + "/introspect"
	bothVersions(t, store.SQLite, settings{"auth.introspect_url": address, "log.level": "debug"}, func(t *testing.T, s *locked) {
		away.Store(false)
		s.enters("opaque-7", s.room()).Wait(t, "note_tree", number(1))
		s.enters(token(t, "8"), s.room()).Wait(t, "note_tree", number(2)) // what the secret can check is not asked about
		s.refused("forbidden", "opaque-7", s.room(), "userId", "8")
		s.refused("unauthorized", "withdrawn-7", s.room())
		away.Store(true)
		before := refused.Load()
		late := s.opens("opaque-late-"+s.room(), s.room())
		storetest.Eventually(t, func() bool { return refused.Load() > before && strings.Contains(s.logged(), "by introspection") }, "the log does not say that introspection is away")
		away.Store(false)
		late.Wait(t, "welcome", nil)
		s.must("POST", "/api/v1/users/7/kick", `{}`, nil)
		s.must("POST", "/api/v1/users/8/kick", `{}`, nil)
	})
}

// A key that the issuer has replaced opens nothing any more, and the new one opens soon, without a restart.
func TestKeyIsRotated(t *testing.T) {
	i, first, second := newIssuer(t), curve(t), curve(t)
	i.offers(published{"first": first})
	s := launch(t, store.SQLite, settings{"auth": "jwt", "auth.hs256_secret": "", "auth.jwks_url": i.URL})
	by := func(kid string, key any) map[string]string {
		m := honest(es256, key).headed("kid", kid)
		return map[string]string{"token": m.text(t)}
	}
	in := func(as map[string]string) bool {
		w, err := join(s.base, "7", "42", "token", as["token"])
		if err == nil {
			w.leave()
		}
		return err == nil
	}
	if !in(by("first", first)) || in(by("second", second)) {
		t.Fatal("the keys before the rotation")
	}
	i.offers(published{"second": second})
	began := time.Now()
	storetest.Eventually(t, func() bool { return in(by("second", second)) }, "the new key never works")
	took := time.Since(began)
	for kid, key := range map[string]*ecdsa.PrivateKey{"first": first, "second": first} {
		if in(by(kid, key)) {
			t.Errorf("the key that was withdrawn still opens as %q", kid)
		}
	}
	i.Close() // what is known holds while the issuer is away
	if !in(by("second", second)) {
		t.Error("the issuer is away, and with it the keys that it had")
	}
	storetest.Show(t, "the new key worked %v after it was published, the old one not at all from then on", took.Round(time.Millisecond))
}
