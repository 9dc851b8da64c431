package auth

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rollcall/internal/config"
	"rollcall/internal/fault"
)

const (
	ourSecret   = config.Secret("the secret of these tests, which is long enough")
	ourIssuer   = "https://issuer.example"
	ourAudience = "rollcall"
)

// keyring holds the keys of the tests: those of the file and of the issuer's set, and those of somebody else.
type keyring struct {
	file, web, evil                *rsa.PrivateKey
	web256, web384, web521, evilEC *ecdsa.PrivateKey
	webEd, evilEd                  ed25519.PrivateKey
}

// ring is made once, as RSA keys take their time.
var ring = sync.OnceValue(func() keyring {
	r := func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }
	e := func(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	d := func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed([]byte(randomText()[:32])) }
	return keyring{r(), r(), r(), e(elliptic.P256()), e(elliptic.P384()), e(elliptic.P521()), e(elliptic.P256()), d(), d()}
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// forge makes a token of any header and payload, well-formed or not. With alg "" or key nil it has no signature.
func forge(header, payload, alg string, key any) string {
	signing := b64([]byte(header)) + "." + b64([]byte(payload))
	if key == nil {
		return signing + "."
	}
	return signing + "." + b64(must(jwt.GetSigningMethod(alg).Sign(signing, key)))
}

// honest makes a token as its header says; more are members of the header, ended by commas.
func honest(alg, more, payload string, key any) string {
	return forge(`{`+more+`"alg":"`+alg+`","typ":"JWT"}`, payload, alg, key)
}

// said makes the payload of a good token with some members changed: pairs of name and JSON text, "" leaves one out.
func said(changes ...string) string {
	members := map[string]string{
		"sub": `"7"`, "iss": `"` + ourIssuer + `"`, "aud": `"` + ourAudience + `"`, "exp": fmt.Sprint(time.Now().Add(time.Hour).Unix()),
	}
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	var list []string
	for name, text := range members {
		if text != "" {
			list = append(list, fmt.Sprintf("%q:%s", name, text))
		}
	}
	return "{" + strings.Join(list, ",") + "}"
}

// hs makes a token signed with our secret.
func hs(payload string) string { return honest("HS256", "", payload, []byte(ourSecret)) }

func pkix(key crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(key)) }

func pemText(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// keyFile writes a file and returns its path.
func keyFile(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// web is a server whose answers a test may change.
type web struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newWeb(t testing.TB, answer http.HandlerFunc) *web {
	t.Helper()
	w := &web{}
	w.answer.Store(&answer)
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		(*w.answer.Load())(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *web) says(answer http.HandlerFunc) { w.answer.Store(&answer) }

// text answers with status 200 and a text.
func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// key writes a public key as a JWK; more are members, each with a comma at its end.
func key(kid, more string, public crypto.PublicKey) string {
	if kid != "" {
		more += fmt.Sprintf(`"kid":%q,`, kid)
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(`{%s"kty":"RSA","n":%q,"e":%q}`, more, b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes()))
	case *ecdsa.PublicKey:
		point := must(k.Bytes())[1:]
		return fmt.Sprintf(`{%s"kty":"EC","crv":%q,"x":%q,"y":%q}`, more, k.Curve.Params().Name, b64(point[:len(point)/2]), b64(point[len(point)/2:]))
	case ed25519.PublicKey:
		return fmt.Sprintf(`{%s"kty":"OKP","crv":"Ed25519","x":%q}`, more, b64(k))
	}
	panic("no key")
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// ourSet is what the issuer publishes.
func ourSet() string {
	r := ring()
	return set(key("r1", `"use":"sig",`, r.web.Public()), key("e2", `"alg":"ES256",`, r.web256.Public()), key("e3", "", r.web384.Public()), key("e5", "", r.web521.Public()),
		key("d1", `"key_ops":["verify"],`, r.webEd.Public()), key("sealing", `"use":"enc",`, r.evil.Public()), `{"kty":"oct","kid":"o1","k":"`+b64([]byte(ourSecret))+`"}`, `{"kty":"new"}`)
}

func newVerifier(t testing.TB, c VerifierConfig) *Verifier {
	t.Helper()
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// verdictOn returns "ok" or the message of the fault, after its kind if that is not Unauthorized.
func verdictOn(t testing.TB, v *Verifier, token string) string {
	t.Helper()
	who, err := v.Verify(t.Context(), token)
	f := fault.Of(err)
	switch {
	case f == nil && cmp.Or(who.UserID, "") == "":
		t.Errorf("accepted without a user: %+v", who)
		return "ok"
	case f == nil:
		return "ok"
	case who.UserID != "" || who.System || who.Conferences.Said:
		t.Errorf("refused, and yet it says %+v", who)
	case f.Kind == fault.Unavailable:
		return "unavailable"
	case f.Kind != fault.Unauthorized || f.Code != "unauthorized":
		t.Errorf("kind %v, code %q: %v", f.Kind, f.Code, err)
	}
	return f.Message
}
