package conference

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// backend is a meeting backend that is asked for members. mu guards answer and asked.
type backend struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []string
}

func newBackend(t *testing.T, answer http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{answer: answer}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked = append(b.asked, r.URL.RequestURI())
		answer := b.answer
		b.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) times() []string { b.mu.Lock(); defer b.mu.Unlock(); return slices.Clone(b.asked) }

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestMembers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		server := newBackend(t, says(`["anna",7,{"userId":"ben"},{"id":9223372036854775807},{"userId":[],"id":"carl"},"anna","a b",null,3.5,true,{}]`))
		b := build(t, db, func(c *Config) { c.MembersURL = server.URL + "/m/{conferenceId}?for={userId}" })
		is := func(conf string, want ...string) {
			t.Helper()
			if got, err := b.Members(t.Context(), conf, "x@y"); err != nil || !slices.Equal(got, want) {
				t.Errorf("members of %s: %v, %v, want %v", conf, got, err, want)
			}
		}
		is("a:b", "anna", "7", "ben", "9223372036854775807", "carl")
		is("a:b", "anna", "7", "ben", "9223372036854775807", "carl")
		if got := server.times(); !slices.Equal(got, []string{"/m/a:b?for=x%40y"}) {
			t.Errorf("the backend was asked %v", got)
		}
		if _, err := b.presence.ReplaceMembers(t.Context(), "42", []presence.Member{{UserID: "zoe", Sort: 1}, {UserID: "max", Sort: 2}}); err != nil {
			t.Fatal(err)
		}
		is("42", "zoe", "max")
		b.arrive(t, "dora", "43")
		for i, answer := range []http.HandlerFunc{
			says(`{"users":["anna"]}`), says(`["anna"`), says(`null`), says(``), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, server.URL+"/elsewhere", http.StatusFound)
			},
			says(`["` + strings.Repeat("x", askMax) + `"]`),
		} {
			b.asked.mu.Lock()
			clear(b.asked.known)
			b.asked.mu.Unlock()
			server.mu.Lock()
			server.answer, server.asked = answer, nil
			server.mu.Unlock()
			is("43", "dora")
			is("43", "dora")
			asked := slices.DeleteFunc(server.times(), func(uri string) bool { return !strings.HasSuffix(uri, "=x%40y") }) // not by whoever tells of dora
			if len(asked) != 1 {
				t.Errorf("answer %d: asked %v", i, asked)
			}
		}
	})
}

// A notice to a conference with more members than are returned used to reach the first of them, and was answered as if
// it had reached all.
func TestNoMemberIsLeftOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		list := make([]presence.Member, maxMembers)
		for i := range list {
			list[i] = presence.Member{UserID: fmt.Sprint("u", i), Sort: int64(i)}
		}
		for some := range slices.Chunk(list, 1000) { // a slow machine does not write all of them within the timeout of one transaction
			if err := b.presence.AddMembers(t.Context(), "42", some); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.Members(t.Context(), "42", ""); err != nil || len(got) != maxMembers {
			t.Errorf("%d members, %v", len(got), err)
		}
		if err := b.presence.AddMembers(t.Context(), "42", []presence.Member{{UserID: "last", Sort: maxMembers}}); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Members(t.Context(), "42", ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("of one more: %d members, %v", len(got), err)
		}
	})
}

// Many who ask at once ask the backend once, and one who gives up does not end it for the others.
func TestMembersAskedOnce(t *testing.T) {
	release := make(chan struct{})
	server := newBackend(t, func(w http.ResponseWriter, _ *http.Request) { <-release; _, _ = io.WriteString(w, `["anna"]`) })
	b := build(t, storetest.Open(t, store.SQLite), func(c *Config) { c.MembersURL = server.URL + "/{conferenceId}" })
	hasty, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var right atomic.Int64
	all.Go(func() {
		if _, err := b.asked.members(hasty, "42", ""); err == nil {
			t.Error("who gave up has an answer")
		}
	})
	storetest.Eventually(t, func() bool { return len(server.times()) == 1 }, "the backend is not asked")
	for i := range 10 {
		all.Go(func() {
			if users, err := b.asked.members(t.Context(), "42", fmt.Sprint(i)); err == nil && len(users) == 1 {
				right.Add(1)
			}
		})
	}
	cancel()
	close(release)
	all.Wait()
	if right.Load() != 10 || len(server.times()) != 1 {
		t.Errorf("%d of 10 have the answer, the backend was asked %d times", right.Load(), len(server.times()))
	}
}

func TestMemoryOfAnswersIsBounded(t *testing.T) {
	a := &asked{known: map[string]reply{}}
	for i := range 2 * maxKnown {
		until := time.Now().Add(time.Hour)
		if i%2 == 0 {
			until = time.Now().Add(-time.Hour)
		}
		a.keep(fmt.Sprint(i), reply{until: until})
		if len(a.known) > maxKnown {
			t.Fatalf("%d answers are kept", len(a.known))
		}
	}
	if _, ok := a.known[fmt.Sprint(2*maxKnown-1)]; !ok {
		t.Error("the newest is not kept")
	}
}

func TestFillIn(t *testing.T) {
	for template, want := range map[string]string{
		"http://b/{conferenceId}/x":                   "http://b/%E4%BC%9A:1@x/x",
		"http://b/?c={conferenceId}&u={userId}&a={b}": "http://b/?c=%E4%BC%9A%3A1%40x&u=..&a={b}",
		"http://b/{userId}/m?c={conferenceId}&q=a?b":  "http://b/%2E%2E/m?c=%E4%BC%9A%3A1%40x&q=a?b",
		"http://b/all": "http://b/all",
		"http://b/{conferenceId}/{conferenceId}?userId": "http://b/%E4%BC%9A:1@x/%E4%BC%9A:1@x?userId",
	} {
		if got := fillIn(template, "会:1@x", ".."); got != want {
			t.Errorf("%s: %s, want %s", template, got, want)
		}
	}
}

// Members whom only the backend knows, and who sit in no conference, hear who comes.
func TestMembersOutsideAreTold(t *testing.T) {
	server := newBackend(t, says(`["anna","ben","carl"]`))
	b := build(t, storetest.Open(t, store.SQLite), func(c *Config) { c.MembersURL = server.URL + "/{conferenceId}" })
	b.hall.sockets = []hall.Socket{{SessionID: "s1", UserID: "anna"}, {SessionID: "s2", UserID: "ben"}, {SessionID: "s3", UserID: "carl", ConferenceID: "42"}, {UserID: "ben", System: true}}
	if _, err := b.presence.ReplaceMembers(t.Context(), "own", []presence.Member{{UserID: "zoe"}}); err != nil {
		t.Fatal(err)
	}
	b.arrive(t, "anna", "own") // has members of its own: the backend is not asked
	b.arrive(t, "anna", "42")
	outside := func() (list []spoken) {
		for _, s := range b.hall.heard("online_notice") {
			if s.to.Sessions != nil {
				list = append(list, s)
			}
		}
		return list
	}
	storetest.Eventually(t, func() bool { return len(outside()) == 1 }, "nobody outside is told")
	if s := outside()[0]; !slices.Equal(s.to.Sessions, []string{"s2"}) || !strings.Contains(s.payload, `"42"`) {
		t.Errorf("told %+v", s)
	}
	if got := server.times(); !slices.Equal(got, []string{"/42"}) {
		t.Errorf("the backend was asked %v", got)
	}
}
