package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write puts text into a fresh config.yaml, makes its folder the working directory, and names it.
func write(t *testing.T, text string) Source {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("config.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Source{File: "config.yaml", FileNamed: true}
}

func TestNothingAtAllIsEnough(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := Load(Source{Environ: []string{"PATH=/bin", "ROLLCALL_PROVE=1", "ROLLCALL_TEST_X=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP.Addr != "127.0.0.1:8080" || c.Database.DSN.Reveal() != "data/rollcall.db" || c.Notice.Retention != 4464*time.Hour || !c.Socket.AllowEIO3 {
		t.Errorf("defaults are wrong: %+v", c)
	}
}

func TestAFileIsOnlyNeededWhenNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := Load(Source{File: "other.yaml"}); err != nil {
		t.Errorf("unnamed: %v", err)
	}
	_, err := Load(Source{File: "other.yaml", FileNamed: true})
	if got, want := message(err), "cannot read the configuration file: no such file or directory (other.yaml)"; got != want {
		t.Errorf("named: got %q, want %q", got, want)
	}
}

func TestLaterSourcesWin(t *testing.T) {
	s := write(t, "http: {addr: 127.0.0.1:1}\nredis: {db: 1, prefix: file}\nsocket: {ping_interval: 1s}\n")
	s.Environ = []string{"ROLLCALL_REDIS_DB=2", "ROLLCALL_SOCKET_PING_INTERVAL=2s"}
	s.Overrides = map[string]string{"socket.ping_interval": "3s"}
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP.Addr != "127.0.0.1:1" || c.Redis.Prefix != "file" || c.Redis.DB != 2 || c.Socket.PingInterval != 3*time.Second {
		t.Errorf("got %+v", c)
	}
}

func TestLists(t *testing.T) {
	hash := strings.Repeat("aB", 32)
	s := write(t, `
http: {allowed_origins: ["https://a.example", 'http://b.example:81']}
auth:
  api_keys:
    - {name: backend 1, role: backend, sha256: `+hash+`}
webhooks:
  - {url: "http://10.0.0.1/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, events: [sign_in]}
  - {url: "https://b.example", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
`)
	s.Environ = []string{"ROLLCALL_HTTP_TRUSTED_PROXIES=10.0.0.0/8, ::1 ,"}
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	secret := Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	for _, d := range []string{
		cmp.Diff([]string{"https://a.example", "http://b.example:81"}, c.HTTP.AllowedOrigins),
		cmp.Diff([]string{"10.0.0.0/8", "::1"}, c.HTTP.TrustedProxies),
		cmp.Diff([]APIKey{{Name: "backend 1", Role: "backend", SHA256: strings.ToLower(hash)}}, c.Auth.APIKeys),
		cmp.Diff([]Webhook{{URL: "http://10.0.0.1/hook", Secret: secret, Events: []string{"sign_in"}}, {URL: "https://b.example", Secret: secret}}, c.Webhooks),
	} {
		if d != "" {
			t.Error(d)
		}
	}
}

// What is null, empty or commented out says nothing: the default stays.
func TestFilesThatSayNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "~", "http:\n", "http:\n  addr:\n", "auth: {api_keys: ~}\nwebhooks:\n"} {
		c, err := Load(write(t, text))
		if err != nil || c.HTTP.Addr != "127.0.0.1:8080" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	c, err := Load(write(t, "socket: {ping_interval: &beat 7s, ping_timeout: *beat}\n"))
	if err != nil || c.Socket.PingTimeout != 7*time.Second {
		t.Errorf("got %v, %v", c.Socket.PingTimeout, err)
	}
}

// Numbers and words that YAML takes for something else are texts where a text is wanted.
func TestTextsNeedNoQuotes(t *testing.T) {
	c, err := Load(write(t, "node: {id: 007}\nredis: {password: 1e3}\nnotice: {log_tree: off}\n"))
	if err != nil || c.Node.ID != "007" || c.Redis.Password.Reveal() != "1e3" || c.Notice.LogTree != "off" {
		t.Errorf("got %q %q %q, %v", c.Node.ID, c.Redis.Password.Reveal(), c.Notice.LogTree, err)
	}
}

func TestProblemsOfTheEnvironment(t *testing.T) {
	t.Chdir(t.TempDir())
	for entry, want := range map[string]string{
		"ROLLCALL_REDIS_ADRR=x:1":                    "names no key, did you mean ROLLCALL_REDIS_ADDR? (environment ROLLCALL_REDIS_ADRR)",
		"ROLLCALL_ZZZZ=1":                            "names no key (environment ROLLCALL_ZZZZ)",
		"ROLLCALL_REDIS_DB=":                         `redis.db: expected a whole number, found "" (environment ROLLCALL_REDIS_DB)`,
		"ROLLCALL_WEBHOOKS=x":                        "webhooks: can be set in the file only (environment ROLLCALL_WEBHOOKS)",
		"ROLLCALL_AUTH_API_KEYS=x":                   "auth.api_keys: can be set in the file only (environment ROLLCALL_AUTH_API_KEYS)",
		"ROLLCALL_HTTP_ALLOWED_ORIGINS=*,b.example/": `http.allowed_origins[1]: expected scheme://host or scheme://host:port in lower case and nothing behind it, or *, found "b.example/" (environment ROLLCALL_HTTP_ALLOWED_ORIGINS)`,
	} {
		if _, err := Load(Source{Environ: []string{entry}}); message(err) != want {
			t.Errorf("%s:\n got %q\nwant %q", entry, message(err), want)
		}
	}
}

// Kubernetes gives every container variables named after the services beside it, and a service is
// likely to be called rollcall: a server that took them for mistakes would not start there.
func TestVariablesOfKubernetesAreNotOurs(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load(Source{Environ: []string{
		"ROLLCALL_SERVICE_HOST=10.0.0.1", "ROLLCALL_SERVICE_PORT=80", "ROLLCALL_SERVICE_PORT_HTTP=80", "ROLLCALL_PORT=tcp://10.0.0.1:80",
		"ROLLCALL_PORT_80_TCP=tcp://10.0.0.1:80", "ROLLCALL_PORT_80_TCP_PROTO=tcp", "ROLLCALL_PORT_80_TCP_PORT=80", "ROLLCALL_PORT_80_TCP_ADDR=10.0.0.1",
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestProblemsOfFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load(Source{Overrides: map[string]string{"http.adr": "x", "log.level": "loud"}})
	want := "http.adr: unknown key, did you mean http.addr? (flag)\nlog.level: expected one of debug, info, warn, error, found \"loud\" (flag)"
	if message(err) != want {
		t.Errorf("got %q\nwant %q", message(err), want)
	}
}

func TestTLSNeedsAPairThatFits(t *testing.T) {
	s := write(t, "http: {tls_cert: a.pem, tls_key: a.key}\n")
	pair(t, "a")
	pair(t, "b")
	if _, err := Load(s); err != nil {
		t.Errorf("a pair: %v", err)
	}
	s.Overrides = map[string]string{"http.tls_key": "b.key"}
	if _, err := Load(s); !strings.HasPrefix(message(err), "http.tls_cert: does not make a certificate together with http.tls_key: ") {
		t.Errorf("strangers: %v", err)
	}
	s.Overrides = map[string]string{"http.tls_key": "none.key", "http.tls_cert": "none.pem"}
	want := "http.tls_cert: cannot read none.pem: no such file or directory (flag)\nhttp.tls_key: cannot read none.key: no such file or directory (flag)"
	if _, err := Load(s); message(err) != want {
		t.Errorf("missing: %v", err)
	}
}

// pair writes a key and a certificate for it into NAME.key and NAME.pem.
func pair(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: cert}, name + ".key": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Clean(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
