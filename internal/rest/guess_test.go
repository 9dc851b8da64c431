package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"rollcall/internal/auth"
	"rollcall/internal/config"
	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// guess sends a token from an address, as far as to find out whose it is. busy is true if it was not looked at.
func (b *bench) guess(address, token string) (busy bool, err error) {
	r := httptest.NewRequest("GET", prefix+"/users/7/inbox", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	err = b.identify(r, &visit{request: r, address: address})
	p, ok := errors.AsType[*problem](err)
	return ok && p.Status == http.StatusTooManyRequests, err
}

// openAskingAbout builds a door that asks an endpoint about tokens and lets one address err 20 times.
func openAskingAbout(t *testing.T, url string) *bench {
	t.Helper()
	tokens, err := auth.NewVerifier(auth.VerifierConfig{IntrospectURL: config.Secret(url), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Auth.Tokens, c.RequestsPerSecond = tokens, 1 })
}

// One address with many tokens at once took all that an endpoint is asked at the same moment, and all others waited until they
// were told that nobody answers; and none of its tokens counted as wrong before the first answer was there.
func TestOneAddressDoesNotTakeTheEndpoint(t *testing.T) {
	var mu sync.Mutex
	asked, gate := 0, make(chan struct{})
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "another" {
			_, _ = w.Write([]byte(`{"active":false}`))
			return
		}
		mu.Lock()
		asked++
		mu.Unlock()
		<-gate
		_, _ = w.Write([]byte(`{"active":false}`))
	}))
	defer endpoint.Close()
	b := openAskingAbout(t, endpoint.URL)
	var all sync.WaitGroup
	refused := make(chan bool, 60)
	for i := range 60 {
		all.Go(func() {
			busy, _ := b.guess("192.0.2.1", fmt.Sprint(i, "-made-up"))
			refused <- busy
		})
	}
	storetest.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return asked >= looksAtOnce }, "nobody is asked")
	if _, err := b.guess("192.0.2.2", "another"); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("somebody else is told %v", err)
	}
	close(gate)
	all.Wait()
	busy := 0
	for range 60 {
		if <-refused {
			busy++
		}
	}
	if busy < 60-2*wrongPerCall-wrongPerCall {
		t.Errorf("only %d of 60 were not looked at", busy)
	}
}

// That nobody can say what a token is worth counted as if it were wrong: an office was shut out for what its issuer did.
func TestAwayIsNotWrong(t *testing.T) {
	b := openAskingAbout(t, "http://127.0.0.1:9/introspect")
	for i := range 100 {
		if _, err := b.guess("192.0.2.1", fmt.Sprint("token-", i)); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("token %d: %v", i, err)
		}
	}
}

// Tokens that somebody made up, from many addresses, filled the table in which the limits of API keys are kept, and keys had to
// share what is left for the crowd.
func TestMadeUpTokensDoNotCrowdKeys(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.RequestsPerSecond = 1 })
	for i := range 100_100 {
		_, _ = b.guess(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), fmt.Sprint("x", i))
	}
	for _, role := range []auth.Role{auth.Viewer, auth.Backend, auth.Admin} {
		for range 2 {
			b.must(200, "GET", "/conferences", "", by(role)...)
		}
	}
}
