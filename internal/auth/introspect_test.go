package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/config"
	"rollcall/internal/storetest"
)

// active is the answer about a good token, with some members changed.
func active(changes ...string) string { return said(append([]string{"active", "true"}, changes...)...) }

// asking returns a Verifier that asks a URL, and its log.
func asking(t testing.TB, url string) (*Verifier, *journal) {
	t.Helper()
	log := &journal{}
	return newVerifier(t, VerifierConfig{IntrospectURL: config.Secret(url), Issuer: ourIssuer, Audience: ourAudience, Log: log.logger()}), log
}

// The question is as RFC 7662 wants it; the password of the URL is in its header and nowhere else, and the token is in no log.
func TestIntrospectionRequest(t *testing.T) {
	endpoint := newWeb(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		good := r.Method == http.MethodPost && user == "us" && password == "pl4nted:&" && r.URL.Path == "/introspect" && r.URL.RawQuery == "realm=1" &&
			r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" && r.Header.Get("Accept") == "application/json" &&
			r.PostFormValue("token") == "opaque+/=&%20~" && r.PostFormValue("token_type_hint") == "access_token" && len(r.PostForm) == 2
		if !good {
			t.Errorf("%s %s %v %v", r.Method, r.URL, r.Header, r.PostForm)
		}
		text(active("sub", "1234567890123456789", "conferences", `["42"]`, "name", `"Zhang San"`, "role", `"host"`, "system", "true", "username", `"x"`))(w, r)
	})
	url := strings.Replace(endpoint.URL, "//", "//us:pl4nted%3A%26@", 1) + "/introspect?realm=1"
	v, log := asking(t, url)
	who, err := v.Verify(t.Context(), "opaque+/=&%20~")
	if err != nil || who.UserID != "1234567890123456789" || who.Name != "Zhang San" || who.Role != "host" || !who.System || !who.Conferences.Hold("42") || who.Conferences.Hold("43") {
		t.Errorf("%+v, %v", who, err)
	}
	endpoint.Close()
	_, err = v.Verify(t.Context(), "opaque-zzmarkzz")
	if out := fmt.Sprint(err, log); !strings.Contains(out, "introspection") || strings.Contains(out, "pl4nted") || strings.Contains(out, "zzmarkzz") {
		t.Errorf("error and log: %s", out)
	}
}

// Who mistypes an API key sends nearly all of one that works: the endpoint, which may be somebody else's, never sees it.
func TestIntrospectionSeesNoKeys(t *testing.T) {
	endpoint := newWeb(t, text(active()))
	v, _ := asking(t, endpoint.URL)
	key, _ := NewKey()
	for _, token := range []string{key, key[:len(key)-1], keyPrefix, keyPrefix + "a.b.c"} {
		if got := verdictOn(t, v, token); got != "this API key is not known" {
			t.Errorf("%d bytes: %s", len(token), got)
		}
	}
	if n := endpoint.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// Only a clear yes about a user whose claims are all right lets him in; no clear answer is no answer, and then it may be tried
// again.
func TestIntrospectionAnswers(t *testing.T) {
	const inactive = "the token is unknown or no longer valid"
	elsewhere := newWeb(t, text(active()))
	wrong, tried := 0, 0
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"yes":            {text(active()), "ok"},
		"no":             {text(`{"active":false}`), inactive},
		"no, and claims": {text(active("active", "false")), inactive},
		"no word of it":  {text(said()), inactive},
		"text":           {text(active("active", `"true"`)), inactive},
		"number":         {text(active("active", "1")), inactive},
		"null":           {text(active("active", "null")), inactive},
		"no exp":         {text(active("exp", "")), "the token has no exp"},
		"expired":        {text(active("exp", "1")), expired},
		"exp text":       {text(active("exp", `"9999999999"`)), "the exp of the token is no time"},
		"not yet":        {text(active("nbf", fmt.Sprint(time.Now().Unix()+60))), "the token is not valid yet"},
		"other audience": {text(active("aud", `["a","b"]`)), "the token is for another audience"},
		"no audience":    {text(active("aud", "")), "the token is for another audience"},
		"other issuer":   {text(active("iss", `"x"`)), "the token is from another issuer"},
		"no user":        {text(active("sub", "", "username", `"7"`)), "the token names no valid user"},
		"conferences":    {text(active("conferences", `"42"`)), "the token names its conferences in a way that is not understood"},
		"twice":          {text(`{"active":false,` + active()[1:]), "unavailable"},
		"no JSON":        {text("<html>"), "unavailable"},
		"list":           {text("[" + active() + "]"), "unavailable"},
		"empty":          {text(""), "unavailable"},
		"cut":            {text(strings.TrimSuffix(active(), "}")), "unavailable"},
		"huge":           {text(active() + strings.Repeat(" ", maxAnswer)), "unavailable"},
		"201":            {both(201, active()), "unavailable"},
		"401":            {both(401, active()), "unavailable"},
		"404":            {both(404, active()), "unavailable"},
		"500":            {both(500, active()), "unavailable"},
		"503":            {status(503), "unavailable"},
		"hangs up":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "unavailable"},
		"302":            {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "unavailable"},
		"307": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "unavailable"},
		"308 to itself": {moved(http.StatusPermanentRedirect), "unavailable"},
		"303 to itself": {moved(http.StatusSeeOther), "unavailable"},
	} {
		v, _ := asking(t, newWeb(t, c.answer).URL)
		for _, token := range []string{"opaque", hs(said()), forge(`{"alg":"none"}`, said(), "", nil), "a.b.c.d.e"} {
			tried++
			got := verdictOn(t, v, token)
			if got == "ok" && c.want != "ok" {
				wrong++
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("a token was carried on to another host %d times", n)
	}
	storetest.Show(t, "wrong accepts %d of %d", wrong, tried)
}

// moved redirects within its host, to where the answer would be yes.
func moved(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/other" {
			http.Redirect(w, r, "/other", code)
			return
		}
		text(active())(w, r)
	}
}

func both(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// What is signed in a way that can be checked here is decided here, whatever the endpoint would say; it is asked about the rest.
func TestLocalKeysDecideFirst(t *testing.T) {
	endpoint := newWeb(t, text(active("sub", `"asked"`)))
	v := newVerifier(t, VerifierConfig{HS256Secret: ourSecret, IntrospectURL: config.Secret(endpoint.URL)})
	for name, c := range map[string]struct {
		token string
		want  string // the user, or why there is none
	}{
		"ours":              {hs(said()), "7"},
		"forged":            {honest("HS256", "", said(), []byte("not ours")), noKey},
		"ours, expired":     {hs(said("exp", "1")), expired},
		"ours with crit":    {honest("HS256", `"crit":[],`, said(), []byte(ourSecret)), "the token has a header that is not understood"},
		"another algorithm": {honest("RS256", "", said(), ring().web), "asked"},
		"opaque":            {"opaque", "asked"},
		"nothing":           {"", "a token is needed"},
		"with a blank":      {"opa que", noParse},
		"too long":          {strings.Repeat("o", maxToken+1), "the token is too long"},
	} {
		who, err := v.Verify(t.Context(), c.token)
		if got := who.UserID; got != c.want && (err == nil || err.Error() != c.want) {
			t.Errorf("%s: %q, %v; want %s", name, got, err, c.want)
		}
	}
	if n := endpoint.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

// An answer is kept for a short while and never longer than the token lives; a crowd with one token asks once; that there was no
// answer is not kept at all.
func TestIntrospectionIsCached(t *testing.T) {
	endpoint := newWeb(t, text(active()))
	v, _ := asking(t, endpoint.URL)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if got := verdictOn(t, v, "crowd"); got != "ok" {
				t.Error(got)
			}
		})
	}
	wait.Wait()
	endpoint.says(text(`{"active":false}`))
	for range 5 {
		if good, bad := verdictOn(t, v, "crowd"), verdictOn(t, v, "other"); good != "ok" || bad == "ok" {
			t.Errorf("what is known: %s, what is not: %s", good, bad)
		}
	}
	if n := endpoint.asked.Load(); n != 2 {
		t.Errorf("asked %d times about two tokens", n)
	}
	endpoint.says(status(503))
	for range 3 {
		if got := verdictOn(t, v, "third"); got != "unavailable" {
			t.Error(got)
		}
	}
	endpoint.says(text(active()))
	if got := verdictOn(t, v, "third"); got != "ok" || endpoint.asked.Load() != 6 {
		t.Errorf("back again: %s, asked %d times", got, endpoint.asked.Load())
	}
}

// How long answers are kept, by a clock of its own.
func TestVerdictsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &inspector{}
		yes, no, brief := hash{1}, hash{2}, hash{3}
		i.keep(yes, verdict{until: time.Now().Add(believed)})
		i.keep(no, verdict{err: malformed, until: time.Now().Add(refused)})
		i.keep(brief, verdict{until: time.Now().Add(-time.Second)}) // its token ends within the leeway
		expect := func(when string, want ...bool) {
			for n, key := range []hash{yes, no, brief} {
				if _, ok := i.known(key); ok != want[n] {
					t.Errorf("%s: verdict %d known: %v", when, n+1, ok)
				}
			}
		}
		expect("at once", true, true, false)
		time.Sleep(refused)
		expect("after a refusal", true, false, false)
		time.Sleep(believed - refused - time.Nanosecond)
		expect("at last", true, false, false)
		time.Sleep(time.Nanosecond)
		expect("after all", false, false, false)
		for n := range 3 * maxVerdicts {
			i.keep(sha256.Sum256(fmt.Append(nil, n)), verdict{until: time.Now().Add(believed)})
			if kept := len(i.good.recent) + len(i.good.older); kept > maxVerdicts {
				t.Fatalf("%d verdicts are kept", kept)
			}
		}
		if _, ok := i.known(sha256.Sum256(fmt.Append(nil, 3*maxVerdicts-maxVerdicts/2))); !ok {
			t.Error("one of the newest was forgotten")
		}
	})
}

// Tokens that somebody makes up drove out of memory what was known of good ones: each of these was then asked about with every
// request, for as long as he went on.
func TestMadeUpTokensDriveNobodyOut(t *testing.T) {
	endpoint := newWeb(t, text(active()))
	v, _ := asking(t, endpoint.URL)
	if got := verdictOn(t, v, "good"); got != "ok" {
		t.Fatal(got)
	}
	for n := range 2 * maxVerdicts {
		v.inspector.keep(sha256.Sum256(fmt.Append(nil, n)), verdict{err: malformed, until: time.Now().Add(refused)})
	}
	if got := verdictOn(t, v, "good"); got != "ok" || endpoint.asked.Load() != 1 {
		t.Errorf("%s, asked %d times", got, endpoint.asked.Load())
	}
	if kept := len(v.inspector.bad.recent) + len(v.inspector.bad.older); kept > maxVerdicts {
		t.Errorf("%d refusals are kept", kept)
	}
}

// The answer's exp bounds what is kept of it.
func TestVerdictEndsWithItsToken(t *testing.T) {
	exp := time.Now().Unix() + 7
	endpoint := newWeb(t, text(active("exp", fmt.Sprint(exp))))
	v, _ := asking(t, endpoint.URL)
	if got := verdictOn(t, v, "brief"); got != "ok" {
		t.Fatal(got)
	}
	if kept := v.inspector.good.recent[sha256.Sum256([]byte("brief"))]; kept.until.Unix() != exp {
		t.Errorf("kept until %v, the token ends %d", kept.until, exp)
	}
}

// An endpoint that never answers holds nobody for long, and whoever leaves waits no longer; a bug is no reason to let anybody in.
func TestSlowAndBrokenIntrospection(t *testing.T) {
	end := make(chan struct{})
	endpoint := newWeb(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	v, _ := asking(t, endpoint.URL)
	v.inspector.timeout = 200 * time.Millisecond
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := v.Verify(gone, "left"); err == nil {
		t.Error("accepted without an answer")
	}
	began := time.Now()
	if got := verdictOn(t, v, "slow"); got != "unavailable" {
		t.Error(got)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	v, log := asking(t, endpoint.URL)
	v.inspector.client = nil
	if got := verdictOn(t, v, "panics"); got != "unavailable" || !strings.Contains(log.String(), "introspect a token") {
		t.Errorf("%s, log %s", got, log)
	}
}
