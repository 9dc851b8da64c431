package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever the file and a variable hold, Load answers with a Config or with Problems that say something.
func FuzzLoad(f *testing.F) {
	text, err := os.ReadFile(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, "ROLLCALL_HTTP_ADDR=:80")
	for _, seed := range []string{
		"", "~", "a: &a [*a]", "http: &h {addr: *h}", "? {a: b}\n: c", "<<: {http: {}}", "http: !!binary x", "webhooks: [{events: [a]}, ~, *x]",
		"--- a\n--- b", "\xff\xfe", "\t", "http:\n\taddr: x", "%YAML 9.9\n---\n", "redis: {db: 99999999999999999999}", "auth: {api_keys: [[]]}", "!!null x: y",
		"auth: {mode: jwt, introspect_url: 'http://u:p@h/?x'}", "auth: {mode: jwt, jwks_url: 'http://[::1'}", "auth: {api_keys: [{name: a, role: admin, sha256: '0'}, &k {name: a}, *k]}",
		"auth: {mode: jwt, cookie_name: '__Host-t', leeway: -1s}\nhttp: {allowed_origins: ['*', 'null', 'http://a:0']}", "auth: {user_claim: \"\\0\", hs256_secret: |\n  x}", "auth: {check: [always], public_key_file: .}",
	} {
		f.Add([]byte(seed), "ROLLCALL_"+seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		file := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(Source{File: file, FileNamed: true, Environ: []string{variable}})
		if err == nil {
			return
		}
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) == 0 {
			t.Fatalf("not Problems: %v", err)
		}
		for _, p := range problems {
			if p.Text == "" {
				t.Fatalf("says nothing: %+v", p)
			}
		}
	})
}
