package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// maxKid is the most bytes of a key's name in a token.
const maxKid = 256

var (
	malformed  = refusal{outcomeMalformed, "the token is malformed"}
	unknownKey = refusal{outcomeSignature, "the token was not signed by a known key"}
)

// asymmetric are the algorithms of keys that may be public, and so of everything that is fetched.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// algorithms returns those that a trusted key may be used with. A key decides that, never a token, so that no public key
// can ever serve as the secret of an HS256 token.
func algorithms(key any) []string {
	switch k := key.(type) {
	case []byte:
		return []string{"HS256"}
	case *rsa.PublicKey:
		return asymmetric[:6]
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}
		case elliptic.P384():
			return []string{"ES384"}
		case elliptic.P521():
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}
	return nil
}

// jws is a signed token, taken apart and not yet believed.
type jws struct {
	alg       string
	header    claims
	kid       string // "" if it has none; see check
	signing   string // what was signed
	payload   []byte
	signature []byte
}

// parse takes a token apart. It is the only reader of it, so that there are no two opinions about what it says.
func parse(token string) (jws, error) {
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return jws{}, malformed
	}
	t := jws{signing: token[:len(parts[0])+1+len(parts[1])]}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part); err != nil {
			return jws{}, malformed
		}
	}
	t.payload, t.signature = raw[1], raw[2]
	var err error
	if t.header, err = object(raw[0]); err != nil {
		return jws{}, malformed
	}
	if err := json.Unmarshal(t.header["alg"], &t.alg); err != nil {
		return jws{}, malformed
	}
	_ = json.Unmarshal(t.header["kid"], &t.kid) // check says what is wrong with it
	return t, nil
}

// check refuses what asks to be read in another way than the usual one. Keys that a header carries or points at (jwk, jku,
// x5c, x5u) are not even looked at.
func (t jws) check() error {
	for _, name := range []string{"crit", "b64"} {
		if _, ok := t.header[name]; ok {
			return refusal{outcomeMalformed, "the token has a header that is not understood"}
		}
	}
	if kid, ok := t.header["kid"]; ok && (kid[0] != '"' || len(t.kid) > maxKid) {
		return refusal{outcomeMalformed, "the token names its key in a way that is not understood"}
	}
	return nil
}

// signedBy reports whether the trusted key made the signature.
func (t jws) signedBy(key any) bool {
	if !slices.Contains(algorithms(key), t.alg) {
		return false
	}
	return jwt.GetSigningMethod(t.alg).Verify(t.signing, t.signature, key) == nil
}

// object reads doc as one JSON object whose values stay text. A member that is there twice is an error: readers differ
// in which of the two they take.
func object(doc []byte) (claims, error) {
	if !utf8.Valid(doc) {
		return nil, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	members := claims{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read the name of a member: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("read a member: %w", err)
		}
		key, _ := name.(string) // the decoder takes nothing else for a name
		if _, twice := members[key]; twice {
			return nil, errors.New("a member is there twice")
		}
		members[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("read the end of an object: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return members, nil
}
