package system_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	ourIssuer   = "https://issuer.example"
	ourAudience = "rollcall"
)

// mint makes tokens as an issuer does, or as somebody who would like to be one.
type mint struct {
	method jwt.SigningMethod
	key    any
	header map[string]any
	claims jwt.MapClaims
}

// with returns the mint with other claims; nil takes one away.
func (m mint) with(pairs ...any) mint {
	m.claims = maps.Clone(m.claims)
	for i := 0; i+1 < len(pairs); i += 2 {
		if m.claims[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(m.claims, pairs[i].(string))
		}
	}
	return m
}

// headed returns the mint with one more header parameter.
func (m mint) headed(name string, value any) mint {
	m.header = maps.Clone(m.header)
	m.header[name] = value
	return m
}

// by returns the mint with another key.
func (m mint) by(method jwt.SigningMethod, key any) mint {
	m.method, m.key = method, key
	return m
}

func (m mint) text(t testing.TB) string {
	t.Helper()
	token := jwt.NewWithClaims(m.method, m.claims)
	maps.Copy(token.Header, m.header)
	text, err := token.SignedString(m.key)
	if err != nil {
		t.Fatalf("forge a token: %v", err)
	}
	return text
}

// honest is a mint whose tokens are good for user 7 in conference 42.
func honest(method jwt.SigningMethod, key any) mint {
	return mint{method: method, key: key, header: map[string]any{}, claims: jwt.MapClaims{
		"sub": "7", "conferences": []string{"42"}, "exp": time.Now().Add(time.Hour).Unix(), "iss": ourIssuer, "aud": ourAudience,
	}}
}

var es256 = jwt.SigningMethodES256

// published are the keys at a URL, by their names.
type published map[string]*ecdsa.PrivateKey

// issuer is somebody whose public keys are in a file, and others at a URL where they change.
type issuer struct {
	*httptest.Server
	fileKey *rsa.PrivateKey
	pem     []byte // of the public part of fileKey
	file    string // that holds pem

	mu   sync.Mutex // guards keys
	keys published
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{keys: published{}, file: filepath.Join(t.TempDir(), "issuer.pem")}
	var err error
	if i.fileKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&i.fileKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	i.pem = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(i.file, i.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	i.Server = httptest.NewServer(http.HandlerFunc(i.publish))
	t.Cleanup(i.Close)
	return i
}

// curve makes a key for ES256.
func curve(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// offers replaces what is published.
func (i *issuer) offers(keys published) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// publish answers with the JWK set.
func (i *issuer) publish(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []map[string]string{}
	for kid, k := range i.keys {
		list = append(list, jwk(kid, &k.PublicKey))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
}

func jwk(kid string, k *ecdsa.PublicKey) map[string]string {
	point, err := k.Bytes() // 4, x, y
	if err != nil {
		panic(err) // cannot be: curve made it
	}
	number := base64.RawURLEncoding.EncodeToString
	return map[string]string{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": number(point[1:33]), "y": number(point[33:])}
}

// forgeries are tokens that must not let user 7 into conference 42, each with the code of the refusal. m is a mint of good
// ones and i the issuer.
func forgeries(t testing.TB, m mint, i *issuer) map[string][2]string {
	t.Helper()
	now, stranger := time.Now(), curve(t)
	good := m.text(t)
	parts := strings.Split(good, ".")
	coded := base64.RawURLEncoding.EncodeToString
	other := strings.Split(m.with("sub", "8").text(t), ".")
	bad := map[string]string{
		"alg none":                   m.by(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType).text(t),
		"alg None":                   coded([]byte(`{"alg":"None","typ":"JWT"}`)) + "." + parts[1] + ".",
		"alg none with a signature":  coded([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"HS256 by the public PEM":    m.by(jwt.SigningMethodHS256, i.pem).text(t),
		"HS512 by the public PEM":    m.by(jwt.SigningMethodHS512, i.pem).text(t),
		"HS256 by nothing":           m.by(jwt.SigningMethodHS256, []byte{}).text(t),
		"ES256 by a stranger":        m.by(es256, stranger).text(t),
		"expired":                    m.with("exp", now.Add(-time.Minute).Unix()).text(t),
		"not yet valid":              m.with("nbf", now.Add(time.Hour).Unix()).text(t),
		"another audience":           m.with("aud", "somebody").text(t),
		"no audience":                m.with("aud", nil).text(t),
		"another issuer":             m.with("iss", ourIssuer+".evil").text(t),
		"no issuer":                  m.with("iss", nil).text(t),
		"no exp":                     m.with("exp", nil).text(t),
		"exp as text":                m.with("exp", "9999999999").text(t),
		"exp beyond all years":       m.with("exp", 1e300).text(t),
		"no user":                    m.with("sub", nil).text(t),
		"a user that is no id":       m.with("sub", "7 OR 1=1").text(t),
		"conferences of no kind":     m.with("conferences", map[string]bool{"42": true}).text(t),
		"long":                       m.with("pad", strings.Repeat("x", 9000)).text(t),
		"huge":                       m.with("pad", strings.Repeat("x", 100<<10)).text(t),
		"kid is a path":              m.headed("kid", "../../../../dev/null").by(jwt.SigningMethodHS256, []byte{0}).text(t),
		"kid is SQL":                 m.headed("kid", "' UNION SELECT 'x' -- ").by(jwt.SigningMethodHS256, []byte("x")).text(t),
		"kid is a number":            m.headed("kid", 7).text(t),
		"kid is long":                m.headed("kid", strings.Repeat("k", 2000)).text(t),
		"jwk of a stranger":          m.headed("jwk", jwk("s", &stranger.PublicKey)).by(es256, stranger).text(t),
		"jku of a stranger":          m.headed("jku", i.URL+"/stranger").by(es256, stranger).text(t),
		"crit":                       m.headed("crit", []string{"exp"}).text(t),
		"signature of another token": other[0] + "." + other[1] + "." + parts[2],
		"payload of another token":   parts[0] + "." + other[1] + "." + parts[2],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"half a signature":           good[:len(good)-20],
		"two parts":                  parts[0] + "." + parts[1],
		"garbage":                    "in.no.way",
		"a word":                     "please",
	}
	all := map[string][2]string{
		"another user's":       {m.with("sub", "8").text(t), "forbidden"},
		"another conference's": {m.with("conferences", []string{"43"}).text(t), "forbidden"},
		"no conference's":      {m.with("conferences", []string{}).text(t), "forbidden"},
	}
	for name, text := range bad {
		all[name] = [2]string{text, "unauthorized"}
	}
	return all
}
