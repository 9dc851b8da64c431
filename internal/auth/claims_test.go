package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/fault"
)

// What claims mean. Those that are only for show are left out when they are odd; those that let somebody in never are.
func TestClaimsAreRead(t *testing.T) {
	v := newVerifier(t, VerifierConfig{HS256Secret: ourSecret, Issuer: ourIssuer, Audience: ourAudience})
	ids := func(list ...string) Conferences { return Conferences{Said: true, IDs: list} }
	for _, c := range []struct {
		claim, text string
		want        Identity
	}{
		{"sub", `"张三"`, Identity{UserID: "张三"}},
		{"sub", `1234567890123456789`, Identity{UserID: "1234567890123456789"}}, // as a float64 it would end in ...800
		{"sub", `0`, Identity{UserID: "0"}},
		{"name", `"Zhang San"`, Identity{Name: "Zhang San"}},
		{"name", `" a\u001b[31mb\r\nc\u009bd\u0000 "`, Identity{Name: "a[31mbcd"}},
		{"name", `"` + strings.Repeat("名", 129) + `"`, Identity{Name: strings.Repeat("名", 128)}},
		{"name", `7`, Identity{}}, {"name", `{"a":1}`, Identity{}}, {"name", `null`, Identity{}},
		{"role", `"host"`, Identity{Role: "host"}}, {"role", `"member"`, Identity{Role: "member"}}, {"role", `"observer"`, Identity{Role: "observer"}},
		{"role", `"admin"`, Identity{}}, {"role", `"Host"`, Identity{}}, {"role", `["host"]`, Identity{}}, {"role", `1`, Identity{}},
		{"system", `true`, Identity{System: true}},
		{"system", `false`, Identity{}}, {"system", `1`, Identity{}}, {"system", `"true"`, Identity{}}, {"system", `[true]`, Identity{}}, {"system", `null`, Identity{}},
		{"conferences", ``, Identity{}}, {"conferences", `null`, Identity{}},
		{"conferences", `[]`, Identity{Conferences: ids()}},
		{"conferences", `["42",7,"42"]`, Identity{Conferences: ids("42", "7", "42")}},
		{"conferences", `[1234567890123456789]`, Identity{Conferences: ids("1234567890123456789")}},
		{"conferences", `"*"`, Identity{Conferences: Conferences{Said: true, All: true}}},
		{"conferences", `["42","*"]`, Identity{Conferences: Conferences{Said: true, All: true, IDs: []string{"42"}}}},
	} {
		got, err := v.Verify(t.Context(), hs(said(c.claim, c.text)))
		if err != nil {
			t.Errorf("%s %s: %v", c.claim, c.text, err)
			continue
		}
		if c.want.UserID == "" {
			c.want.UserID = "7"
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Identity{}, "ExpiresAt")); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.claim, c.text, diff)
		}
	}
}

func TestHold(t *testing.T) {
	for _, c := range []struct {
		who  Conferences
		want bool
	}{{Conferences{}, false}, {Conferences{Said: true}, false}, {Conferences{Said: true, IDs: []string{"4", "421", "*"}}, false}, {Conferences{IDs: []string{"1", "42"}}, true}, {Conferences{All: true}, true}} {
		if got := c.who.Hold("42"); got != c.want {
			t.Errorf("%+v: %v", c.who, got)
		}
	}
}

// Another claim may name the user; sub then means nothing. Without issuer and audience in the configuration any will do.
func TestOtherClaimAndNoRules(t *testing.T) {
	v := newVerifier(t, VerifierConfig{HS256Secret: ourSecret, UserClaim: "https://example.com/uid"})
	for claim, want := range map[string]string{"https://example.com/uid": "ok", "uid": "the token names no valid user"} {
		if got := verdictOn(t, v, hs(said("sub", "[]", claim, "42", "iss", "7", "aud", "{}"))); got != want {
			t.Errorf("user in %s: %s, want %s", claim, got, want)
		}
	}
}

// Leeway stretches both ends of a token's life, and the end that is told stays what the token says.
func TestLeeway(t *testing.T) {
	strict := newVerifier(t, VerifierConfig{HS256Secret: ourSecret})
	v := newVerifier(t, VerifierConfig{HS256Secret: ourSecret, Leeway: time.Minute})
	at := func(seconds int64) string { return fmt.Sprint(time.Now().Unix() + seconds) }
	for _, c := range []struct {
		payload      string
		forgiven, no string
	}{
		{said("exp", at(-30)), "ok", expired},
		{said("exp", at(-90)), expired, expired},
		{said("nbf", at(30)), "ok", "the token is not valid yet"},
		{said("nbf", at(90)), "the token is not valid yet", "the token is not valid yet"},
	} {
		if got, not := verdictOn(t, v, hs(c.payload)), verdictOn(t, strict, hs(c.payload)); got != c.forgiven || not != c.no {
			t.Errorf("%s: with leeway %s, without %s", c.payload, got, not)
		}
	}
	exp := time.Now().Unix() - 30
	who, err := v.Verify(t.Context(), hs(said("exp", fmt.Sprint(exp))))
	if err != nil || who.ExpiresAt.Unix() != exp {
		t.Errorf("ends %v, %v; the token says %v", who.ExpiresAt, err, time.Unix(exp, 0))
	}
}

// Every token is counted once, by what came of it, and no answer repeats anything of what was sent.
func TestOutcomesAreCountedAndRepeatNothing(t *testing.T) {
	metrics := prometheus.NewRegistry()
	away := newWeb(t, status(503))
	v := newVerifier(t, VerifierConfig{HS256Secret: ourSecret, JWKSURL: away.URL, Audience: ourAudience, Metrics: metrics})
	const mark = "zzmarkzz"
	for _, token := range []string{
		hs(said("name", `"`+mark+`"`)), "", mark, hs(said("exp", "1", "name", `"`+mark+`"`)), honest("HS256", `"kid":"`+mark+`",`, said(), []byte("not ours")), hs(said("aud", `"`+mark+`"`)),
		hs(said("sub", `"<`+mark+`>"`)), honest("RS256", `"kid":"`+mark+`",`, said(), ring().web),
	} {
		if _, err := v.Verify(t.Context(), token); err != nil {
			if f := fault.Of(err); strings.Contains(err.Error(), mark) || strings.Contains(f.Message, mark) {
				t.Errorf("the error repeats what was sent: %v", err)
			}
		}
	}
	want := map[string]float64{"claims": 2, "expired": 1, "malformed": 2, "ok": 1, "signature": 1, "unavailable": 1}
	if diff := cmp.Diff(want, counted(t, metrics)); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

// counted returns what the counter of tokens says, by outcome.
func counted(t testing.TB, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "rollcall_tokens_total" {
				got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}

// A configuration that cannot work is told at the start.
func TestNewVerifierRefuses(t *testing.T) {
	for name, c := range map[string]VerifierConfig{
		"nothing to check with": {Issuer: ourIssuer},
		"no key file":           {PublicKeyFile: "/does/not/exist"},
		"no URL of keys":        {JWKSURL: "://user:pl4nted@"},
		"no URL to ask":         {IntrospectURL: "http://user:pl4nted@%zz"},
	} {
		v, err := NewVerifier(c)
		if err == nil || v != nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "pl4nted") {
			t.Errorf("%s: the error holds the password", name)
		}
	}
}
