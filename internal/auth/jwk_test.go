package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

// Every odd key is left out, with a reason, and the good ones beside it stay: nothing that an issuer publishes locks everybody
// out, lets anybody in, or panics.
func TestOddKeysAreLeftOut(t *testing.T) {
	r := ring()
	n, point := b64(r.web.N.Bytes()), key("", "", r.web256.Public())
	long := b64(make([]byte, 1000)) + "AQ"
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	for name, odd := range map[string]string{
		"null": `null`, "number": `7`, "list": `[]`, "empty": `{}`, "kid number": key("", `"kid":7,`, r.web.Public()), "kty number": `{"kty":1}`,
		"secret": `{"kty":"oct","k":"` + b64([]byte("secret")) + `"}`, "secret with alg": `{"kty":"oct","alg":"HS256","k":"c2VjcmV0"}`, "for encryption": key("", `"use":"enc",`, r.web.Public()),
		"other operations": key("", `"key_ops":["encrypt","wrapKey"],`, r.web.Public()), "private RSA": key("", `"d":"AQAB",`, r.web.Public()), "private EC": key("", `"d":"AQAB",`, r.web256.Public()), "private Ed25519": key("", `"d":"AQAB",`, r.webEd.Public()),
		"RSA of 1024 bits": key("", "", small.Public()), "no n": `{"kty":"RSA","e":"AQAB"}`, "no e": `{"kty":"RSA","n":"` + n + `"}`, "e 1": `{"kty":"RSA","n":"` + n + `","e":"AQ"}`, "e 2": `{"kty":"RSA","n":"` + n + `","e":"Ag"}`,
		"e of 1000 bytes": `{"kty":"RSA","n":"` + n + `","e":"` + b64(make([]byte, 999)) + n + `"}`, "n of 2 KB": `{"kty":"RSA","n":"` + b64(append([]byte{1}, make([]byte, 2047)...)) + `","e":"AQAB"}`, "n in hex": `{"kty":"RSA","n":"!!","e":"AQAB"}`,
		"x too long": strings.Replace(key("", "", r.web521.Public()), "P-521", "P-256", 1), "x very long": `{"kty":"EC","crv":"P-256","x":"` + long + `","y":"` + long + `"}`,
		"not on the curve": `{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`, "infinity": `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, "x is the prime": `{"kty":"EC","crv":"P-256","x":"` + b64(elliptic.P256().Params().P.Bytes()) + `","y":"AQ"}`,
		"no y": `{"kty":"EC","crv":"P-256","x":"AQ"}`, "curve of another": strings.Replace(point, "P-256", "P-384", 1), "P-224": strings.Replace(point, "P-256", "P-224", 1), "secp256k1": strings.Replace(point, "P-256", "secp256k1", 1),
		"no curve": strings.Replace(point, "P-256", "", 1), "X25519": `{"kty":"OKP","crv":"X25519","x":"` + b64(make([]byte, 32)) + `"}`, "short Ed25519": `{"kty":"OKP","crv":"Ed25519","x":"` + b64(make([]byte, 31)) + `"}`,
		"HS256 by RSA": key("", `"alg":"HS256",`, r.web.Public()), "ES256 by RSA": key("", `"alg":"ES256",`, r.web.Public()), "ES384 on P-256": key("", `"alg":"ES384",`, r.web256.Public()), "none by RSA": key("", `"alg":"none",`, r.web.Public()),
		"for encryption by alg": key("", `"alg":"RSA-OAEP",`, r.web.Public()),
	} {
		keys, skipped, err := parseSet([]byte(set(odd, key("good", "", r.web384.Public()))))
		if err != nil || skipped == nil || len(keys) != 1 || keys[0].kid != "good" {
			t.Errorf("%s: %d keys, skipped %v, %v", name, len(keys), skipped, err)
		}
	}
}

// What issuers get a little wrong is forgiven where nobody could take it in another way.
func TestKeysAreRead(t *testing.T) {
	r := ring()
	padded := strings.Replace(key("1", "", r.web256.Public()), `","y"`, `=","y"`, 1)
	leading := `{"kty":"RSA","n":"` + b64(append([]byte{0}, r.web.N.Bytes()...)) + `","e":"AAEAAQ"}`
	extra := key("3", `"x5c":["zz"],"x5u":"http://nowhere.example","new":{},"use":"sig","key_ops":["sign","verify"],"alg":"RS512",`, r.web.Public())
	keys, skipped, err := parseSet([]byte(set(padded, leading, extra)))
	if err != nil || skipped != nil || len(keys) != 3 {
		t.Fatalf("%d keys, skipped %v, %v", len(keys), skipped, err)
	}
	if !r.web256.PublicKey.Equal(keys[0].key) || !r.web.PublicKey.Equal(keys[1].key) || !r.web.PublicKey.Equal(keys[2].key) {
		t.Error("a key is not the one that was written")
	}
	if k := keys[2]; k.kid != "3" || !k.fits("RS512") || k.fits("RS256") || !keys[1].fits("RS256") || keys[1].fits("ES256") {
		t.Errorf("names and algorithms: %+v", keys[1:])
	}
}

// A coordinate that begins with a zero is a byte shorter when an issuer leaves that out.
func TestShortCoordinates(t *testing.T) {
	curve := elliptic.P256()
	for d := byte(1); ; d++ {
		private := must(ecdsa.ParseRawPrivateKey(curve, append(make([]byte, 31), d)))
		text := must(private.PublicKey.Bytes())
		x, y := new(big.Int).SetBytes(text[1:33]), new(big.Int).SetBytes(text[33:])
		if len(x.Bytes()) == 32 && len(y.Bytes()) == 32 {
			continue
		}
		if got, err := point(curve, x, y); err != nil || !private.PublicKey.Equal(got) {
			t.Errorf("a point whose coordinates have %d and %d bytes: %v", len(x.Bytes()), len(y.Bytes()), err)
		}
		return
	}
}
