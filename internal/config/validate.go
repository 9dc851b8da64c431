package config

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"rollcall/internal/id"
)

// minSecret is the least length in bytes of an HS256 secret (RFC 7518, section 3.2).
const minSecret = 32

// validate finds what type, bounds and choices do not say: wrong forms, and keys that do not fit together.
func (l *loader) validate() {
	l.checkHTTP()
	l.checkTLS()
	l.checkDatabase()
	l.checkNames()
	l.checkAuth()
	l.checkAPIKeys()
	l.checkSizes()
	l.checkURLs()
	l.checkWebhooks()
}

// good reports whether none of the keys has a problem so far, so that one mistake is told once.
func (l *loader) good(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return l.bad[k] })
}

// fail adds a problem about a key, unless it, its entry or its section has one already.
func (l *loader) fail(key, format string, args ...any) {
	where := ""
	for k := key; k != ""; k = parent(k) {
		if l.bad[k] {
			return
		}
		where = cmp.Or(where, l.where[k])
	}
	l.problem(key, where, fmt.Sprintf(format, args...))
}

// parent returns the entry of a list, the list or the section that holds the key; "" at the top.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// check fails the key when there is an error.
func (l *loader) check(key string, err error) {
	if err != nil {
		l.fail(key, "%s", err.Error())
	}
}

func (l *loader) checkHTTP() {
	c := &l.config.HTTP
	host, err := listenAddress(c.Addr)
	l.check("http.addr", err)
	a := &l.config.Auth
	if l.good("http.addr", "auth.mode", "auth.allow_insecure") && a.Mode == "none" && !a.AllowInsecure && !loopback(host) {
		l.fail("http.addr", "listens on %s, which others can reach, while auth.mode is none: "+
			"set auth.mode: jwt, or listen on 127.0.0.1, or set auth.allow_insecure: true", c.Addr)
	}
	for i, p := range c.TrustedProxies {
		l.check(item("http.trusted_proxies", i), network(p))
	}
	for i, o := range c.AllowedOrigins {
		l.check(item("http.allowed_origins", i), origin(o))
	}
	l.check("socket.path", socketPath(l.config.Socket.Path))
}

func (l *loader) checkTLS() {
	c := &l.config.HTTP
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return
	case c.TLSKey == "":
		l.fail("http.tls_key", "is missing: http.tls_cert needs it")
		return
	case c.TLSCert == "":
		l.fail("http.tls_cert", "is missing: http.tls_key needs it")
		return
	}
	cert, err := os.ReadFile(c.TLSCert)
	if err != nil {
		l.fail("http.tls_cert", "cannot read %s: %s", c.TLSCert, reason(err))
	}
	key, err := os.ReadFile(c.TLSKey)
	if err != nil {
		l.fail("http.tls_key", "cannot read %s: %s", c.TLSKey, reason(err))
	}
	if !l.good("http.tls_cert", "http.tls_key") {
		return
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		l.fail("http.tls_cert", "does not make a certificate together with http.tls_key: %v", err)
	}
}

func (l *loader) checkDatabase() {
	if !l.good("database.driver") {
		return
	}
	c := &l.config.Database
	switch {
	case c.Driver == "sqlite":
		l.check("database.dsn", sqliteFile(c.DSN.Reveal()))
	case l.where["database.dsn"] == "" || c.DSN == "":
		l.fail("database.dsn", "is missing: database.driver mysql needs user:pass@tcp(host:port)/name")
	default:
		l.check("database.dsn", mysqlSource(c.DSN.Reveal()))
	}
}

func (l *loader) checkNames() {
	if c := &l.config.Redis; c.Addr != "" {
		l.check("redis.addr", dialAddress(c.Addr))
	}
	if p := l.config.Redis.Prefix; p == "" || strings.ContainsAny(p, " \t\r\n{}") {
		l.fail("redis.prefix", "expected a text without blanks and braces, found %q", p)
	}
	if n := l.config.Node.ID; n != "" {
		l.check("node.id", id.Check(n))
	}
}

func (l *loader) checkAuth() {
	c := &l.config.Auth
	if n := len(c.HS256Secret); n > 0 && n < minSecret {
		l.fail("auth.hs256_secret", "must have at least %d bytes, found %d", minSecret, n)
	}
	if c.PublicKeyFile != "" {
		if _, err := os.ReadFile(c.PublicKeyFile); err != nil {
			l.fail("auth.public_key_file", "cannot read %s: %s", c.PublicKeyFile, reason(err))
		} else if l.checkKeyFile != nil {
			l.check("auth.public_key_file", l.checkKeyFile(c.PublicKeyFile))
		}
	}
	if c.UserClaim == "" {
		l.fail("auth.user_claim", "must not be empty")
	}
	if c.CookieName != "" && (&http.Cookie{Name: c.CookieName}).Valid() != nil {
		l.fail("auth.cookie_name", "expected the name of a cookie, found %q", c.CookieName)
	}
	if c.Mode == "jwt" && c.CookieName != "" && slices.Contains(l.config.HTTP.AllowedOrigins, "*") {
		l.fail("auth.cookie_name", "does not go together with * in http.allowed_origins: "+
			"a page of any origin could come in with the cookie of whoever opens it")
	}
	sources := []string{"auth.hs256_secret", "auth.jwks_url", "auth.public_key_file", "auth.introspect_url"}
	if c.Mode == "jwt" && l.good(sources...) && c.HS256Secret == "" && c.JWKSURL == "" && c.PublicKeyFile == "" && c.IntrospectURL == "" {
		l.fail("auth.mode", "jwt needs something to check tokens with: "+
			"set one of %s", strings.Join(sources, ", "))
	}
}

func (l *loader) checkAPIKeys() {
	names, hashes := map[string]bool{}, map[string]bool{}
	keys := l.config.Auth.APIKeys
	for i := range keys {
		k, at := &keys[i], item("auth.api_keys", i)+"."
		l.check(at+"name", CheckKeyName(k.Name))
		if k.Role == "" {
			l.fail(at+"role", "is missing: expected viewer, backend or admin")
		}
		k.SHA256 = strings.ToLower(k.SHA256)
		l.check(at+"sha256", sha256Hex(k.SHA256))
		if names[k.Name] {
			l.fail(at+"name", "%q is the name of another key", k.Name)
		}
		if hashes[k.SHA256] {
			l.fail(at+"sha256", "is the hash of another key")
		}
		names[k.Name], hashes[k.SHA256] = true, true
	}
}

func (l *loader) checkSizes() {
	p := &l.config.Presence
	if l.good("presence.node_heartbeat", "presence.node_timeout") && p.NodeTimeout <= 2*p.NodeHeartbeat {
		l.fail("presence.node_timeout", "must be more than twice presence.node_heartbeat (%v), found %v", p.NodeHeartbeat, p.NodeTimeout)
	}
	l.checkQueue("socket.max_payload", l.config.Socket.MaxPayload)
	l.checkQueue("conference.max_tree_bytes", l.config.Conference.MaxTreeBytes)
}

// checkQueue wants room in the queue of a socket for one frame of the size that the key sets.
func (l *loader) checkQueue(key string, size int) {
	if queue := l.config.Socket.MaxQueueBytes; queue < size && l.good(key) {
		l.fail("socket.max_queue_bytes", "must be at least %s (%d), found %d", key, size, queue)
	}
}

func (l *loader) checkURLs() {
	for _, u := range []struct{ key, text string }{
		{"auth.jwks_url", l.config.Auth.JWKSURL},
		{"auth.introspect_url", l.config.Auth.IntrospectURL.Reveal()},
		{"meeting.members_url", l.config.Meeting.MembersURL},
		{"meeting.end_share_url", l.config.Meeting.EndShareURL},
		{"tracing.endpoint", l.config.Tracing.Endpoint},
	} {
		if u.text != "" {
			l.check(u.key, webURL(u.text))
		}
	}
}

func (l *loader) checkWebhooks() {
	seen := map[string]bool{}
	for i, w := range l.config.Webhooks {
		at := item("webhooks", i) + "."
		l.check(at+"url", webURL(w.URL))
		if seen[w.URL] {
			l.fail(at+"url", "is the url of another entry")
		}
		seen[w.URL] = true
		l.check(at+"secret", signingSecret(w.Secret.Reveal()))
	}
}
