package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate is one that the key signed for itself; it has long expired, which is no matter: what is trusted is the file.
func certificate(key *rsa.PrivateKey) []byte {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	return must(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))
}

// Each form of a public key is taken, and checks what the private one signed, by the algorithms of its kind alone.
func TestKeyFiles(t *testing.T) {
	r := ring()
	for _, c := range []struct {
		name string
		text []byte
		key  any
		algs string
	}{
		{"PKIX RSA", pemText("PUBLIC KEY", pkix(r.file.Public())), r.file, "RS256 RS384 RS512 PS256 PS384 PS512"},
		{"PKCS#1", pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&r.file.PublicKey)), r.file, "RS256 RS384 RS512 PS256 PS384 PS512"},
		{"certificate", pemText("CERTIFICATE", certificate(r.file)), r.file, "RS256 RS384 RS512 PS256 PS384 PS512"},
		{"P-256", pemText("PUBLIC KEY", pkix(r.web256.Public())), r.web256, "ES256"},
		{"P-384", pemText("PUBLIC KEY", pkix(r.web384.Public())), r.web384, "ES384"},
		{"P-521", pemText("PUBLIC KEY", pkix(r.web521.Public())), r.web521, "ES512"},
		{"Ed25519", pemText("PUBLIC KEY", pkix(r.webEd.Public())), r.webEd, "EdDSA"},
		{"text around it, the first counts", append(append([]byte("of the issuer\n"), pemText("PUBLIC KEY", pkix(r.webEd.Public()))...), pemText("PUBLIC KEY", pkix(r.evil.Public()))...), r.webEd, "EdDSA"},
	} {
		path := keyFile(t, c.text)
		if err := CheckKeyFile(path); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		v := newVerifier(t, VerifierConfig{PublicKeyFile: path})
		if got := strings.Join(v.local, " "); got != c.algs {
			t.Errorf("%s: algorithms %s, want %s", c.name, got, c.algs)
		}
		for _, alg := range v.local {
			if got := verdictOn(t, v, honest(alg, "", said(), c.key)); got != "ok" {
				t.Errorf("%s, %s: %s", c.name, alg, got)
			}
		}
		if got := verdictOn(t, v, honest("RS256", "", said(), r.evil)); got != noKey {
			t.Errorf("%s: a key of somebody else: %s", c.name, got)
		}
	}
}

// A file that cannot serve is refused with its reason, before it is needed, and nothing of a private key is in it.
func TestBadKeyFiles(t *testing.T) {
	r := ring()
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	odd := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	private := x509.MarshalPKCS1PrivateKey(r.file)
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"nothing", "no PEM block", nil},
		{"text", "no PEM block", []byte("ssh-ed25519 AAAA me@example")},
		{"DER", "no PEM block", pkix(r.file.Public())},
		{"private PKCS#1", "private key", pemText("RSA PRIVATE KEY", private)},
		{"private PKCS#8", "private key", pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(r.file)))},
		{"private EC", "private key", pemText("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(r.web256)))},
		{"encrypted", "private key", pemText("ENCRYPTED PRIVATE KEY", private)},
		{"a private key by a wrong name", "can be read", pemText("PUBLIC KEY", private)},
		{"a request", "something else", pemText("CERTIFICATE REQUEST", private)},
		{"broken", "can be read", pemText("PUBLIC KEY", []byte("abc"))},
		{"a broken certificate", "can be read", pemText("CERTIFICATE", []byte("abc"))},
		{"RSA of 1024 bits", "1024 bits", pemText("PUBLIC KEY", pkix(small.Public()))},
		{"RSA of 16384 bits", "16384 bits", pemText("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16383, 1), E: 65537}))},
		{"P-224", "P-224", pemText("PUBLIC KEY", pkix(odd.Public()))},
	} {
		path := keyFile(t, c.text)
		err := CheckKeyFile(path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		} else if bytes.Contains([]byte(err.Error()), c.text[:min(len(c.text), 64)]) && len(c.text) > 0 {
			t.Errorf("%s: the error repeats the file", c.name)
		}
		if _, err := NewVerifier(VerifierConfig{PublicKeyFile: path, HS256Secret: ourSecret}); err == nil {
			t.Errorf("%s: a Verifier was made of it", c.name)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if CheckKeyFile(path) == nil {
			t.Errorf("%s is no file", path)
		}
	}
}
