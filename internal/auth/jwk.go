package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
)

// trusted is a key of the issuer.
type trusted struct {
	kid string // "" if it has none
	alg string // the only algorithm it may be used with; "": every one that its kind allows
	key any
}

func (k trusted) fits(alg string) bool {
	return slices.Contains(algorithms(k.key), alg) && (k.alg == "" || k.alg == alg)
}

// jwk is a key as RFC 7517 and 7518 write it.
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	D      string   `json:"d"`
}

// parseSet reads a set of keys (JWKS). What cannot check a token is left out, and skipped says why the last of it was: one key
// that is odd, or of a kind that did not exist when this was written, must not lock everybody out.
func parseSet(text []byte) (keys []trusted, skipped, err error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, nil, errors.New("the answer is no set of keys")
	}
	for _, raw := range *set.Keys {
		var j jwk
		if json.Unmarshal(raw, &j) != nil {
			skipped = errors.New("is no JSON Web Key")
			continue
		}
		k, err := j.trusted()
		if err != nil {
			skipped = err
			continue
		}
		keys = append(keys, k)
	}
	return keys, skipped, nil
}

// trusted returns the key, or why it cannot check tokens.
func (j jwk) trusted() (trusted, error) {
	switch {
	case j.Use != "" && j.Use != "sig":
		return trusted{}, errors.New("is not for signatures")
	case len(j.KeyOps) > 0 && !slices.Contains(j.KeyOps, "verify"):
		return trusted{}, errors.New("is not for checking signatures")
	case j.D != "":
		return trusted{}, errors.New("is a private key: now that it was published, its signatures prove nothing")
	}
	key, err := j.public()
	if err != nil {
		return trusted{}, err
	}
	if err := checkKey(key); err != nil {
		return trusted{}, err
	}
	k := trusted{kid: j.Kid, alg: j.Alg, key: key}
	if k.alg != "" && !k.fits(k.alg) {
		return trusted{}, errors.New("is for an algorithm that its kind does not have, or that is not used here")
	}
	return k, nil
}

// public returns the public key that j writes down. Secrets (kty oct) are none: whoever can read the set could sign.
func (j jwk) public() (any, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	switch curve := curves[j.Crv]; {
	case j.Kty == "RSA":
		n, e := number(j.N), number(j.E)
		if n == nil || e == nil || !e.IsInt64() || e.Int64() > math.MaxInt32 {
			return nil, errors.New("is an RSA key without a modulus and an exponent that can be read")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case j.Kty == "EC" && curve != nil:
		return point(curve, number(j.X), number(j.Y))
	case j.Kty == "OKP" && j.Crv == "Ed25519":
		x, err := decode(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("is an Ed25519 key that cannot be read")
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, errors.New("is of a kind that no token is signed with here")
}

// point returns the key at a point of a curve, once it is sure to be one.
func point(curve elliptic.Curve, x, y *big.Int) (*ecdsa.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	if x == nil || y == nil || len(x.Bytes()) > size || len(y.Bytes()) > size {
		return nil, errors.New("is an EC key without coordinates that can be read")
	}
	text := make([]byte, 1+2*size)
	text[0] = 4 // uncompressed, says SEC 1
	x.FillBytes(text[1 : 1+size])
	y.FillBytes(text[1+size:])
	key, err := ecdsa.ParseUncompressedPublicKey(curve, text)
	if err != nil {
		return nil, fmt.Errorf("is an EC key that is none: %w", err)
	}
	return key, nil
}

// number reads a whole number above zero; nil if there is none.
func number(text string) *big.Int {
	b, err := decode(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}

// decode forgives the padding that some issuers write though they must not.
func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}
