package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"

	"rollcall/internal/config"
)

const (
	maxKey    = 1024   // bytes of what may be a key; hashing more would be work for strangers
	keyPrefix = "rck_" // by which a key that leaked is recognised
)

// Key is an API key as the configuration knows it.
type Key struct {
	Name string
	Role Role
	hash [sha256.Size]byte
}

// fingerprint tells keys apart and opens nothing: it is the hash of what is in the configuration.
func (k Key) fingerprint() string { return hexHash(k.hash[:]) }

// Keys are the API keys. Safe for concurrent use.
type Keys struct {
	list []Key
}

// NewKeys returns the keys of a configuration, which was checked. An entry that makes no sense is no key.
func NewKeys(list []config.APIKey) *Keys {
	k := &Keys{}
	for _, entry := range list {
		role, known := ParseRole(entry.Role)
		hash, err := hex.DecodeString(entry.SHA256)
		if known && err == nil && len(hash) == sha256.Size {
			k.list = append(k.list, Key{Name: entry.Name, Role: role, hash: [sha256.Size]byte(hash)})
		}
	}
	return k
}

// Len returns how many keys there are.
func (k *Keys) Len() int { return len(k.list) }

// Find returns the key whose text is given. The time it takes does not tell which keys there are.
func (k *Keys) Find(text string) (Key, bool) {
	if text == "" || len(text) > maxKey {
		return Key{}, false
	}
	hash := sha256.Sum256([]byte(text))
	found := -1
	for i := range k.list {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], k.list[i].hash[:]), i, found)
	}
	if found < 0 {
		return Key{}, false
	}
	return k.list[found], true
}

// owner returns the key with a fingerprint.
func (k *Keys) owner(fingerprint string) (Key, bool) {
	for _, key := range k.list {
		if key.fingerprint() == fingerprint {
			return key, true
		}
	}
	return Key{}, false
}

// NewKey makes the text of a fresh key, of 256 random bits, and its hash for the configuration.
func NewKey() (text, sha256 string) {
	text = keyPrefix + randomText()
	return text, hexHash([]byte(text))
}

// randomText returns 256 random bits as 43 characters that fit into headers, cookies and URLs.
func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hexHash returns the SHA-256 of b in lower-case hexadecimal digits.
func hexHash(b []byte) string {
	hash := sha256.Sum256(b)
	return hex.EncodeToString(hash[:])
}
