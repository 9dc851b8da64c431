package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The bounds of an RSA modulus: less can be broken, more is work for whoever sends tokens to make us do.
const (
	minRSA = 2048
	maxRSA = 8192
)

// CheckKeyFile reports why a file cannot be auth.public_key_file, in words for whoever wrote the configuration.
func CheckKeyFile(path string) error {
	_, err := readKey(path)
	return err
}

// readKey returns the public key in a PEM file: that of its first block.
func readKey(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the public key of tokens: %w", err)
	}
	key, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func parsePEM(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	switch {
	case block == nil:
		return nil, errors.New("holds no PEM block; expected a public key or a certificate")
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return nil, errors.New("holds a private key; expected the public one (openssl pkey -pubout), as this service signs nothing with it")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		return nil, errors.New("holds something else than a public key or a certificate")
	}
	if err != nil {
		return nil, fmt.Errorf("holds no public key that can be read: %w", err)
	}
	return key, checkKey(key)
}

// checkKey reports why a public key cannot be trusted to check tokens.
func checkKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return fmt.Errorf("holds an RSA key of %d bits; expected %d to %d", n, minRSA, maxRSA)
		}
		if k.E < 3 || k.E%2 == 0 {
			return errors.New("holds an RSA key with an exponent that cannot be")
		}
		return nil
	case *ecdsa.PublicKey:
		if algorithms(k) == nil {
			return fmt.Errorf("holds a key on the curve %s; expected P-256, P-384 or P-521", k.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("holds a key of a kind (%T) that no token is signed with; expected RSA, ECDSA or Ed25519", key)
}
