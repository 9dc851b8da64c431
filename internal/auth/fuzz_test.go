package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/config"
)

// Whatever is sent, nothing panics, and nobody gets in but by a text that was signed here, or that the endpoint knows: a fuzzer
// that changes as much as one bit of one and is let in has found a hole.
func FuzzVerify(f *testing.F) {
	endpoint := newWeb(f, func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("token") == "opaque" {
			text(active())(w, r)
			return
		}
		text(`{"active":false}`)(w, r)
	})
	issuer := newWeb(f, text(ourSet()))
	v := newVerifier(f, VerifierConfig{
		HS256Secret: ourSecret, PublicKeyFile: keyFile(f, pemText("PUBLIC KEY", pkix(ring().file.Public()))), JWKSURL: issuer.URL, IntrospectURL: config.Secret(endpoint.URL),
		Issuer: ourIssuer, Audience: ourAudience,
	})
	v.issuer.tempo = never
	ours := map[string]bool{"opaque": true}
	for _, c := range goodTokens() {
		ours[c.token] = true
		f.Add(c.token)
	}
	f.Add("opaque")
	for _, list := range [][]trial{badAlgorithms(), badHeaders(), badTimes(), badForms()} {
		for _, c := range list {
			if len(c.token) <= maxToken {
				f.Add(c.token)
			}
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		who, err := v.Verify(t.Context(), token)
		switch {
		case err == nil && !ours[token] && !byOurSecret(token):
			t.Errorf("%q lets %s in", token, who.UserID)
		case err != nil && ours[token]:
			t.Errorf("a good token is refused: %v", err)
		case err != nil && len(token) > 20 && strings.Contains(err.Error(), token):
			t.Errorf("the error repeats the token")
		}
	})
}

// byOurSecret computes the signature anew. It is for tokens of another process: a fuzzer has several, each with keys of its own.
func byOurSecret(token string) bool {
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return false
	}
	mac := hmac.New(sha256.New, []byte(ourSecret))
	mac.Write([]byte(token[:dot]))
	return token[dot+1:] == b64(mac.Sum(nil))
}

// Keys of the issuer may be any text. None of them panics, and what is taken for a key can be used.
func FuzzSet(f *testing.F) {
	f.Add(ourSet())
	for _, s := range []string{`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQ"}]}`, `{"keys":[null]}`, `{"keys":{}}`} {
		f.Add(s)
	}
	token := must(parse(forgeSignature(`{"alg":"RS256"}`, make([]byte, 256))))
	f.Fuzz(func(t *testing.T, text string) {
		keys, _, err := parseSet([]byte(text))
		for _, k := range keys {
			if err != nil || k.key == nil || len(algorithms(k.key)) == 0 {
				t.Errorf("%+v is taken for a key, %v", k, err)
			}
			for _, token.alg = range algorithms(k.key) {
				if token.signedBy(k.key) {
					t.Errorf("a signature of zeros is taken by %+v", k)
				}
			}
		}
	})
}

// One reader of JSON, with one opinion: what it takes reads the same when it is written again.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, ` { "a" : 1 } `, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"a":1,"a":2}}`, `{"a":1}x`, "{\"\xff\":1}", `[]`, `{"a"}`, `{a:1}`, `{"a":1,}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		members, err := object([]byte(doc))
		if err != nil {
			return
		}
		usual := claims{}
		if err := json.Unmarshal([]byte(doc), &usual); err != nil || len(usual) != len(members) {
			t.Fatalf("%q has %d members, the usual reader finds %d, %v", doc, len(members), len(usual), err)
		}
		for name, text := range usual {
			if string(members[name]) != string(text) {
				t.Errorf("%q: %q is %s, the usual reader finds %s", doc, name, members[name], text)
			}
		}
	})
}
