package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"rollcall/internal/config"
	"rollcall/internal/storetest"
)

func hexOf(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

// flipped returns two other hexadecimal digits.
func flipped(digits string) string {
	if digits == "00" {
		return "11"
	}
	return "00"
}

// A key is found by its text alone: not by its hash, its name, a part of it, nor by anything near it.
func TestKeys(t *testing.T) {
	var list []config.APIKey
	texts := map[string]string{}
	for _, role := range []string{"viewer", "backend", "admin"} {
		text, hash := NewKey()
		texts[role] = text
		list = append(list, config.APIKey{Name: "the " + role, Role: role, SHA256: hash})
	}
	list = append(list, config.APIKey{Name: "old", Role: "viewer", SHA256: hexOf("a key from before")}, config.APIKey{Name: "blank", Role: "admin", SHA256: hexOf("")},
		config.APIKey{Name: "odd role", Role: "user", SHA256: hexOf("odd")}, config.APIKey{Name: "half", Role: "admin", SHA256: hexOf("half")[:63] + "_"}, config.APIKey{Name: "half", Role: "admin", SHA256: hexOf("half")[:62] + flipped(hexOf("half")[62:])}, config.APIKey{Name: "no hash", Role: "admin", SHA256: "zz"})
	keys := NewKeys(list)
	if keys.Len() != 6 {
		t.Errorf("%d keys, want 6: what makes no sense is none", keys.Len())
	}
	for role, text := range texts {
		if k, ok := keys.Find(text); !ok || k.Role.String() != role || k.Name != "the "+role {
			t.Errorf("%s: found %v, %s, %v", role, ok, k.Name, k.Role)
		}
	}
	if k, ok := keys.Find("a key from before"); !ok || k.Name != "old" || k.Role != Viewer {
		t.Errorf("a key of another form: %v, %+v", ok, k)
	}
	admin := texts["admin"]
	wrong := []string{"", hexOf(admin), "the admin", admin[:len(admin)-1], admin + "A", " " + admin, strings.ToUpper(admin), strings.TrimPrefix(admin, "rck_"), "odd", "half", strings.Repeat("k", 1<<20), "\x00"}
	for range storetest.Size(100_000, 1000) {
		stranger, _ := NewKey()
		wrong = append(wrong, stranger)
	}
	accepted := 0
	for _, text := range wrong {
		if _, ok := keys.Find(text); ok {
			accepted++
		}
	}
	if _, ok := NewKeys(nil).Find(""); ok {
		accepted++
	}
	if accepted > 0 {
		t.Errorf("%d wrong keys were taken", accepted)
	}
	storetest.Show(t, "wrong accepts %d of %d", accepted, len(wrong)+1)
}

// A fresh key has 256 random bits and fits into a header; its hash is what the configuration wants.
func TestNewKey(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text, hash := NewKey()
		if !regexp.MustCompile(`^rck_[A-Za-z0-9_-]{43}$`).MatchString(text) || hash != hexOf(text) || seen[text] {
			t.Fatalf("a key of %d characters, hash %s, seen before: %v", len(text), hash, seen[text])
		}
		seen[text] = true
	}
}

func TestRoles(t *testing.T) {
	for r, name := range map[Role]string{None: "none", User: "user", Viewer: "viewer", Backend: "backend", Admin: "admin", Role(9): "none"} {
		got, ok := ParseRole(name)
		if r.String() != name || ok != (r >= Viewer && r <= Admin) || ok && got != r {
			t.Errorf("%d is %s, which reads %v, %v", r, r, got, ok)
		}
	}
	if None >= User || User >= Viewer || Viewer >= Backend || Backend >= Admin {
		t.Error("the roles do not rise")
	}
}

// Whatever prints a key shows neither its text, which is not in it, nor a hash that a guess could be tried on at leisure.
func TestKeyIsNotItsFingerprint(t *testing.T) {
	text, hash := NewKey()
	k, _ := NewKeys([]config.APIKey{{Name: "a", Role: "admin", SHA256: hash}}).Find(text)
	if f := k.fingerprint(); f == hash || len(f) != 64 || strings.Contains(fmt.Sprintf("%+v", k), text) {
		t.Errorf("the fingerprint is the hash, or the key shows its text")
	}
}
