package auth

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// ofIssuer returns a Verifier that trusts the set at a URL, in a hurry: a tempo of hours means never in this test.
func ofIssuer(t testing.TB, url string, pace tempo) (*Verifier, *journal) {
	t.Helper()
	log := &journal{}
	v := newVerifier(t, VerifierConfig{JWKSURL: url, Log: log.logger()})
	v.issuer.tempo = pace
	return v, log
}

var never = tempo{refresh: time.Hour, fresh: time.Hour, retry: time.Hour}

// run runs a Verifier for the rest of the test.
func run(t testing.TB, v *Verifier) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- v.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run ends with %v", err)
		}
	})
}

// A new key is taken as soon as somebody comes with it. An old one works until the issuer withdraws it, and then no longer.
func TestRotation(t *testing.T) {
	r := ring()
	old, fresh := honest("RS256", `"kid":"1",`, said(), r.web), honest("ES256", `"kid":"2",`, said(), r.web256)
	first, second := key("1", "", r.web.Public()), key("2", "", r.web256.Public())
	issuer := newWeb(t, text(set(first)))
	v, _ := ofIssuer(t, issuer.URL, tempo{refresh: time.Hour})
	for i, c := range []struct {
		set                string
		oldWants, newWants string
	}{{set(first), "ok", noKey}, {set(first, second), "ok", "ok"}, {set(second), "ok", "ok"}} {
		issuer.says(text(c.set))
		if o, n := verdictOn(t, v, old), verdictOn(t, v, fresh); o != c.oldWants || n != c.newWants {
			t.Errorf("step %d: old %s, new %s", i, o, n)
		}
	}
	v.issuer.tempo.refresh = 10 * time.Millisecond
	run(t, v)
	storetest.Eventually(t, func() bool { return verdictOn(t, v, old) == noKey }, "the withdrawn key is refused")
	if got := verdictOn(t, v, fresh); got != "ok" {
		t.Errorf("the new key: %s", got)
	}
	issuer.says(text(set()))
	storetest.Eventually(t, func() bool { return verdictOn(t, v, fresh) == noKey }, "an issuer without keys lets nobody in")
}

// A token that does not name its key is taken while there is one key that it can mean, and not when there are two.
func TestTokenWithoutKid(t *testing.T) {
	r := ring()
	one, other := key("1", "", r.web.Public()), key("2", "", r.file.Public())
	for name, c := range map[string]struct{ set, want string }{
		"one key":             {set(one), "ok"},
		"another kind beside": {set(one, key("2", "", r.web256.Public())), "ok"},
		"another use beside":  {set(one, key("2", `"use":"enc",`, r.file.Public())), "ok"},
		"another alg beside":  {set(one, key("2", `"alg":"PS256",`, r.file.Public())), "ok"},
		"a second one":        {set(one, other), noKey},
		"a second one first":  {set(other, one), noKey},
		"twice the same":      {set(one, one), noKey},
		"none":                {set(), noKey},
	} {
		v, _ := ofIssuer(t, newWeb(t, text(c.set)).URL, never)
		for _, more := range []string{"", `"kid":"",`} {
			if got := verdictOn(t, v, honest("RS256", more, said(), r.web)); got != c.want {
				t.Errorf("%s, header %q: %s", name, more, got)
			}
		}
	}
}

// Strangers with names of keys that do not exist have the issuer asked once, however many they are, and a wrong signature for a
// known key not at all. Whoever comes with a good token meanwhile waits for nothing.
func TestStrangersDoNotFloodTheIssuer(t *testing.T) {
	r := ring()
	issuer := newWeb(t, text(set(key("1", "", r.web.Public()))))
	v, _ := ofIssuer(t, issuer.URL, never)
	good := honest("RS256", `"kid":"1",`, said(), r.web)
	if got := verdictOn(t, v, good); got != "ok" {
		t.Fatal(got)
	}
	v.issuer.tempo.fresh = 0
	for range 20 {
		if got := verdictOn(t, v, honest("RS256", `"kid":"1",`, said(), r.evil)); got != noKey {
			t.Errorf("wrong signature: %s", got)
		}
	}
	if n := issuer.asked.Load(); n != 1 {
		t.Errorf("asked %d times because of wrong signatures", n)
	}
	v.issuer.tempo.fresh = time.Hour
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for n := range storetest.Size(2000, 50) {
				if got := verdictOn(t, v, honest("ES256", fmt.Sprintf(`"kid":"%d-%d",`, i, n), said(), r.evilEC)); got != noKey {
					t.Errorf("a stranger: %s", got)
				}
				if got := verdictOn(t, v, good); got != "ok" {
					t.Errorf("good: %s", got)
				}
			}
		})
	}
	wait.Wait()
	if n := issuer.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	// Nor do they hold a rotation up for longer than the set counts as fresh.
	issuer.says(text(set(key("2", "", r.web256.Public()))))
	v.issuer.tempo.fresh = 50 * time.Millisecond
	storetest.Eventually(t, func() bool {
		return verdictOn(t, v, honest("ES256", `"kid":"2",`, said(), r.web256)) == "ok"
	}, "the new key is taken")
	if n := issuer.asked.Load(); n > 3 {
		t.Errorf("asked %d times for one rotation", n)
	}
}

// Many who come at once, before there are keys, wait for one fetch.
func TestOneFetchForAll(t *testing.T) {
	const crowd = 50
	open := make(chan struct{})
	issuer := newWeb(t, func(w http.ResponseWriter, r *http.Request) {
		<-open
		text(ourSet())(w, r)
	})
	v, _ := ofIssuer(t, issuer.URL, usualTempo)
	var wait sync.WaitGroup
	for range crowd {
		wait.Go(func() {
			if got := verdictOn(t, v, honest("ES384", `"kid":"e3",`, said(), ring().web384)); got != "ok" {
				t.Error(got)
			}
		})
	}
	storetest.Eventually(t, func() bool { return issuer.asked.Load() == 1 }, "the issuer is asked")
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := v.Verify(gone, honest("ES384", `"kid":"e3",`, said(), ring().web384)); err == nil {
		t.Error("accepted before there was a key")
	}
	close(open)
	wait.Wait()
	if n := issuer.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// What is away, odd or hostile gives no keys: nobody is let in and nobody is told that his token is bad. Once there were keys
// they are kept through all of that.
func TestIssuerInTrouble(t *testing.T) {
	r := ring()
	good, unknown := honest("RS256", `"kid":"1",`, said(), r.web), honest("RS256", `"kid":"9",`, said(), r.web)
	keys := set(key("1", "", r.web.Public()))
	elsewhere := newWeb(t, text(keys))
	troubles := map[string]http.HandlerFunc{
		"500": status(500), "503": status(503), "404": status(404), "no content": status(204), "empty": text(""), "no JSON": text("<html>"), "list": text("[]"), "null": text("null"), "no keys": text("{}"),
		"keys null": text(`{"keys":null}`), "keys text": text(`{"keys":"x"}`), "cut": text(keys[:len(keys)-3]), "two": text(keys + keys), "huge": text(keys + strings.Repeat(" ", maxSet)),
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for n := 0; n < 4*maxSet; n += 1 << 16 {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"redirect to another host": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"redirect for ever":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"hangs up":                 func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, trouble := range troubles {
		issuer := newWeb(t, trouble)
		v, log := ofIssuer(t, issuer.URL, tempo{refresh: time.Hour})
		if g, u := verdictOn(t, v, good), verdictOn(t, v, unknown); g != "unavailable" || u != "unavailable" {
			t.Errorf("%s, before there are keys: %s, unknown key %s", name, g, u)
		}
		issuer.says(text(keys))
		if g, u := verdictOn(t, v, good), verdictOn(t, v, unknown); g != "ok" || u != noKey {
			t.Errorf("%s, once it is back: %s, unknown key %s", name, g, u)
		}
		issuer.says(trouble)
		for range 20 {
			if g, u := verdictOn(t, v, good), verdictOn(t, v, unknown); g != "ok" || u != "unavailable" {
				t.Errorf("%s, with the keys at hand: %s, unknown key %s", name, g, u)
			}
		}
		if n := strings.Count(log.String(), "cannot be fetched"); n != 1 {
			t.Errorf("%s: %d complaints", name, n)
		}
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

// While it is away it is asked again soon, but not by everybody who comes.
func TestIssuerAwayIsNotHammered(t *testing.T) {
	issuer := newWeb(t, status(503))
	v, _ := ofIssuer(t, issuer.URL, never)
	token := honest("ES256", `"kid":"e2",`, said(), ring().web256)
	for range 50 {
		if got := verdictOn(t, v, token); got != "unavailable" {
			t.Fatal(got)
		}
	}
	if n := issuer.asked.Load(); n != 1 {
		t.Errorf("asked %d times within the pause", n)
	}
	issuer.says(text(ourSet()))
	v.issuer.tempo.retry = 10 * time.Millisecond
	storetest.Eventually(t, func() bool { return verdictOn(t, v, token) == "ok" }, "the keys are there after the pause")
}

// A server that accepts and never answers holds nobody for longer than a call may take.
func TestSlowIssuer(t *testing.T) {
	end := make(chan struct{})
	issuer := newWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	v, _ := ofIssuer(t, issuer.URL, usualTempo)
	v.issuer.timeout = 200 * time.Millisecond
	began := time.Now()
	if got := verdictOn(t, v, honest("ES256", `"kid":"e2",`, said(), ring().web256)); got != "unavailable" {
		t.Error(got)
	}
	if took := time.Since(began); took < v.issuer.timeout || took > v.issuer.timeout+2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// User and password of the URL are sent as Basic authentication, redirects within the host are followed, and no log holds either.
func TestIssuerWithPassword(t *testing.T) {
	issuer := newWeb(t, func(w http.ResponseWriter, r *http.Request) {
		switch user, password, _ := r.BasicAuth(); {
		case user != "us" || password != "pl4nted":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/keys?key=pl4nted", http.StatusTemporaryRedirect)
		case r.URL.Path == "/keys":
			text(ourSet())(w, r)
		default:
			panic(http.ErrAbortHandler)
		}
	})
	for path, want := range map[string]string{"/moved": "ok", "/keys": "ok", "/x?key=pl4nted": "unavailable"} {
		v, log := ofIssuer(t, strings.Replace(issuer.URL, "//", "//us:pl4nted@", 1)+path, usualTempo)
		token := honest("ES256", `"kid":"e2",`, said(), ring().web256)
		if got := verdictOn(t, v, token); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		_, err := v.Verify(t.Context(), token)
		if strings.Contains(fmt.Sprint(err, log), "pl4nted") {
			t.Errorf("%s: the password is in an error or the log", path)
		}
	}
}
