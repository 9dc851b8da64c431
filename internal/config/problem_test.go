package config

import (
	"errors"
	"strings"
	"testing"
)

// Each file has one mistake, and exactly one line is said about it.
func TestOneMistakeOneProblem(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"unknown key", "http:\n  adr: x\n", "http.adr: unknown key, did you mean http.addr? (config.yaml:2)"},
		{"unknown section", "sockets: {path: /x/}\n", "sockets: unknown key, did you mean socket? (config.yaml:1)"},
		{"wrong section", "\nping_interval: 5s\n", "ping_interval: unknown key, did you mean socket.ping_interval? (config.yaml:2)"},
		{"flat key", "http.addr: x\n", `http.addr: unknown key: keys are nested, put "addr" below "http" (config.yaml:1)`},
		{"far from anything", "elephants: 1\n", "elephants: unknown key (config.yaml:1)"},
		{"key given twice", "log: {level: info}\nhttp: {}\nlog: {level: warn}\n", "log: is given twice, first on line 1 (config.yaml:3)"},
		{"no mapping", "- a\n", "expected keys with values, found a list (config.yaml:1)"},
		{"section is a text", "http: 8080\n", "http: expected keys with values, found a single value (config.yaml:1)"},
		{"key is a list", "? [a]\n: b\n", "expected the name of a key, found a list (config.yaml:1)"},
		{"value is a mapping", "http: {addr: {host: x}}\n", "http.addr: expected a single value, found keys with values (config.yaml:1)"},
		{"broken YAML", "log:\nredis: {}\nhttp: ]\n", "not valid YAML: did not find expected node content (config.yaml:3)"},
		{"broken on line 1", "http: ]\n", "not valid YAML: did not find expected node content (config.yaml:1)"},
		{"broken indentation", "http:\n  addr: x\n log: y\n", "not valid YAML: did not find expected key (config.yaml:3)"},
		{"tab", "http:\n\taddr: x\n", "not valid YAML: found character that cannot start any token (config.yaml:2)"},
		{"alias of nothing", "http: *x\n", "not valid YAML: unknown anchor 'x' referenced (config.yaml)"},
		{"two documents", "log: {level: info}\n---\nlog: {level: warn}\n", "a second YAML document begins here, expected one only (config.yaml:2)"},
		{"duration without unit", "presence:\n  grace: 5\n", `presence.grace: expected a duration such as 10s or 4464h, found "5" (config.yaml:2)`},
		{"duration out of bounds", "cluster: {poll_interval: 6s}\n", "cluster.poll_interval: must be from 10ms to 5s, found 6s (config.yaml:1)"},
		{"negative duration", "presence: {grace: -1s}\n", "presence.grace: must be from 0s to 1h, found -1s (config.yaml:1)"},
		{"no number", "redis: {db: one}\n", `redis.db: expected a whole number, found "one" (config.yaml:1)`},
		{"no truth", "debug: {pprof: perhaps}\n", `debug.pprof: expected true or false, found "perhaps" (config.yaml:1)`},
		{"unknown choice", "conference:\n  duplicate_sessions: both\n", `conference.duplicate_sessions: expected one of multi, newest, oldest, found "both" (config.yaml:2)`},
		{"list as text", "http: {trusted_proxies: 10.0.0.1}\n", "http.trusted_proxies: expected a list such as [a, b], found a single value (config.yaml:1)"},
		{"nothing in a list", "http: {trusted_proxies: [~]}\n", "http.trusted_proxies: expected a text as entry of the list, found nothing (config.yaml:1)"},
		{"bad proxy", "http:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.0/33\n", `http.trusted_proxies[1]: expected an IP address or a network such as 10.0.0.0/8, found "10.0.0.0/33" (config.yaml:4)`},
		{"origin with a path", "http: {allowed_origins: ['https://a.example/']}\n", `http.allowed_origins[0]: expected scheme://host or scheme://host:port in lower case and nothing behind it, or *, found "https://a.example/" (config.yaml:1)`},
		{"no port", "http: {addr: localhost}\n", `http.addr: expected host:port such as 127.0.0.1:8080, found "localhost" (config.yaml:1)`},
		{"large port", "http: {addr: 'localhost:70000'}\n", `http.addr: expected host:port such as 127.0.0.1:8080, found "localhost:70000" (config.yaml:1)`},
		{"certificate without key", "http: {tls_cert: a.pem}\n", "http.tls_key: is missing: http.tls_cert needs it"},
		{"key without certificate", "http: {tls_key: a.pem}\n", "http.tls_cert: is missing: http.tls_key needs it"},
		{"path without end", "socket: {path: /socket.io}\n", `socket.path: expected a path that begins and ends with / such as /socket.io/, found "/socket.io" (config.yaml:1)`},
		{"path for a router", "socket: {path: '/:x/'}\n", `socket.path: expected a path that begins and ends with / such as /socket.io/, found "/:x/" (config.yaml:1)`},
		{"path that climbs", "socket: {path: /a/../}\n", `socket.path: expected a path that begins and ends with / such as /socket.io/, found "/a/../" (config.yaml:1)`},
		{"mysql without dsn", "database: {driver: mysql}\n", "database.dsn: is missing: database.driver mysql needs user:pass@tcp(host:port)/name"},
		{"mysql with a file", "database: {driver: mysql, dsn: data/rollcall.db}\n", "database.dsn: expected user:pass@tcp(host:port)/name for database.driver mysql (config.yaml:1)"},
		{"mysql without a name", "database: {driver: mysql, dsn: 'u:p@tcp(h:1)/'}\n", "database.dsn: expected user:pass@tcp(host:port)/name for database.driver mysql (config.yaml:1)"},
		{"sqlite with a dsn", "database: {dsn: 'u:p@tcp(h:1)/n'}\n", "database.dsn: expected the path of a file for database.driver sqlite, without ? # % (config.yaml:1)"},
		{"sqlite in memory", "database: {dsn: ':memory:'}\n", "database.dsn: expected the path of a file for database.driver sqlite, without ? # % (config.yaml:1)"},
		{"unknown driver", "database: {driver: oracle, dsn: 'x?y'}\n", `database.driver: expected one of sqlite, mysql, found "oracle" (config.yaml:1)`},
		{"redis without port", "redis: {addr: localhost}\n", `redis.addr: expected host:port such as 127.0.0.1:6379, found "localhost" (config.yaml:1)`},
		{"redis as URL", "redis: {addr: 'redis://localhost:6379'}\n", `redis.addr: expected host:port such as 127.0.0.1:6379, found "redis://localhost:6379" (config.yaml:1)`},
		{"prefix with braces", "redis: {prefix: '{a}'}\n", `redis.prefix: expected a text without blanks and braces, found "{a}" (config.yaml:1)`},
		{"node id", "node: {id: a b}\n", "node.id: must consist of letters, digits and . _ : @ - (config.yaml:1)"},
		{"short secret", "auth: {hs256_secret: hunter2}\n", "auth.hs256_secret: must have at least 32 bytes, found 7 (config.yaml:1)"},
		{"jwt without a key", "auth: {mode: jwt}\n", "auth.mode: jwt needs something to check tokens with: set one of auth.hs256_secret, auth.jwks_url, auth.public_key_file, auth.introspect_url (config.yaml:1)"},
		{"unknown mode, open address", "auth: {mode: jtw}\nhttp: {addr: ':80'}\n", `auth.mode: expected one of none, jwt, found "jtw" (config.yaml:1)`},
		{"missing key file", "auth: {public_key_file: none.pem}\n", "auth.public_key_file: cannot read none.pem: no such file or directory (config.yaml:1)"},
		{"cookie name", "auth: {cookie_name: 'a;b'}\n", `auth.cookie_name: expected the name of a cookie, found "a;b" (config.yaml:1)`},
		{"cookie for every page", "http: {allowed_origins: ['*']}\nauth: {mode: jwt, hs256_secret: 0123456789abcdef0123456789abcdef, cookie_name: c}\n", "auth.cookie_name: does not go together with * in http.allowed_origins: a page of any origin could come in with the cookie of whoever opens it (config.yaml:2)"},
		{"no claim", "auth: {user_claim: ''}\n", "auth.user_claim: must not be empty (config.yaml:1)"},
		{"jwks over ftp", "auth: {jwks_url: 'ftp://a'}\n", "auth.jwks_url: expected an http or https URL with a host (config.yaml:1)"},
		{"members without scheme", "meeting: {members_url: 'a.example/{conferenceId}'}\n", "meeting.members_url: expected an http or https URL with a host (config.yaml:1)"},
		{"impatient nodes", "presence: {node_timeout: 6s}\n", "presence.node_timeout: must be more than twice presence.node_heartbeat (3s), found 6s (config.yaml:1)"},
		{"small queue", "socket: {max_queue_bytes: 100000}\n", "socket.max_queue_bytes: must be at least conference.max_tree_bytes (262144), found 100000 (config.yaml:1)"},
		{"large payload", "socket: {max_payload: 2000000}\n", "socket.max_queue_bytes: must be at least socket.max_payload (2000000), found 1048576"},
		{"webhook is a text", "webhooks:\n- http://a\n", "webhooks[0]: expected keys with values, found a single value (config.yaml:2)"},
		{"webhooks are no list", "webhooks: {url: 'http://a'}\n", "webhooks: expected a list, found keys with values (config.yaml:1)"},
		{"webhook event", "webhooks:\n- url: http://a\n  secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n  events: [sign_out]\n", `webhooks[0].events: expected one of *, presence.online, presence.offline, conference.empty, conference.ended, screen_share.ended, timer.finished, sign_in, client.event, notice.acked, notice.unreached, found "sign_out" (config.yaml:4)`},
		{"key in an entry", "webhooks:\n- {url: 'http://a', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, event: []}\n", "webhooks[0].event: unknown key, did you mean webhooks[0].events? (config.yaml:2)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Load(write(t, tc.file)); message(err) != tc.want {
				t.Errorf("\n got %s\nwant %s", message(err), tc.want)
			}
		})
	}
}

// With mode none anybody may be anybody, so only this machine may reach the port unless one insists.
func TestOpenAddressesNeedAuth(t *testing.T) {
	for addr, open := range map[string]bool{
		"127.0.0.1:8080": false, "127.1.2.3:1": false, "[::1]:0": false, "localhost:1": false, "[::ffff:127.0.0.1]:1": false,
		":8080": true, "0.0.0.0:8080": true, "[::]:8080": true, "10.0.0.1:80": true, "meet.example:80": true, "127.1:80": true,
	} {
		s := write(t, "http: {addr: '"+addr+"'}\n")
		want := ""
		if open {
			want = "http.addr: listens on " + addr + ", which others can reach, while auth.mode is none: " +
				"set auth.mode: jwt, or listen on 127.0.0.1, or set auth.allow_insecure: true (config.yaml:1)"
		}
		if _, err := Load(s); message(err) != want {
			t.Errorf("%s: got %q, want %q", addr, message(err), want)
		}
		s.Overrides = map[string]string{"auth.allow_insecure": "true"}
		if _, err := Load(s); err != nil {
			t.Errorf("%s, insecure: %v", addr, err)
		}
		s.Overrides = map[string]string{"auth.mode": "jwt", "auth.hs256_secret": strings.Repeat("x", 32)}
		if _, err := Load(s); err != nil {
			t.Errorf("%s, jwt: %v", addr, err)
		}
	}
}

// All mistakes are told at once, those of one entry of a list too.
func TestAllProblemsAtOnce(t *testing.T) {
	s := write(t, `http:
  addr: 0.0.0.0:80
  adr: x
log: {level: loud}
auth:
  api_keys:
    - {name: system, role: king, sha256: abc}
    - {}
webhooks:
  - {url: nowhere, secret: plain}
`)
	s.Environ = []string{"ROLLCALL_PRESENCE_GRACE=soon", "ROLLCALL_NOTHING=1"}
	s.Overrides = map[string]string{"socket.path": "x"}
	_, err := Load(s)
	var keys []string
	problems, _ := errors.AsType[Problems](err)
	for _, p := range problems {
		keys = append(keys, strings.TrimSpace(p.Key+" "+p.Where))
	}
	want := `http.adr config.yaml:3
log.level config.yaml:4
auth.api_keys[0].role config.yaml:7
presence.grace environment ROLLCALL_PRESENCE_GRACE
environment ROLLCALL_NOTHING
http.addr config.yaml:2
socket.path flag
auth.api_keys[0].name config.yaml:7
auth.api_keys[0].sha256 config.yaml:7
auth.api_keys[1].name config.yaml:8
auth.api_keys[1].role config.yaml:8
auth.api_keys[1].sha256 config.yaml:8
webhooks[0].url config.yaml:10
webhooks[0].secret config.yaml:10`
	if got := strings.Join(keys, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s\nin full\n%v", got, want, err)
	}
}

// The notice log calls its actors by the names of keys, so a key must not look like another actor, nor like nothing.
func TestNamesOfKeys(t *testing.T) {
	for name, good := range map[string]bool{
		"backend": true, "会议 board": true, "users": true, strings.Repeat("é", 64): true,
		"": false, strings.Repeat("x", 65): false, "system": false, "socket": false, "anonymous": false, "user 7": false, "user:7": false,
		"a\nb": false, "a\u009bb": false, "\u202egro": false, " ": false, "a ": false, "\xff": false,
	} {
		if err := CheckKeyName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What is wrong with a key file is told like everything else, at its place.
func TestKeyFileIsLookedInto(t *testing.T) {
	s := write(t, "auth: {public_key_file: config.yaml}\nlog: {level: loud}\n")
	s.CheckKeyFile = func(path string) error { return errors.New(path + " holds no key") }
	_, err := Load(s)
	want := `log.level: expected one of debug, info, warn, error, found "loud" (config.yaml:2)
auth.public_key_file: config.yaml holds no key (config.yaml:1)`
	if message(err) != want {
		t.Errorf("got\n%s\nwant\n%s", message(err), want)
	}
}

func TestTwinsAreRefused(t *testing.T) {
	hash := strings.Repeat("0", 64)
	_, err := Load(write(t, "auth:\n  api_keys:\n  - {name: a, role: admin, sha256: "+hash+"}\n  - {name: a, role: admin, sha256: "+hash+"}\n"+
		"webhooks:\n- &w {url: 'http://a', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}\n- *w\n"))
	want := `auth.api_keys[1].name: "a" is the name of another key (config.yaml:4)
auth.api_keys[1].sha256: is the hash of another key (config.yaml:4)
webhooks[1].url: is the url of another entry (config.yaml:6)`
	if message(err) != want {
		t.Errorf("got\n%s\nwant\n%s", message(err), want)
	}
}

// A configuration error ends up in logs and tickets, so whatever is wrong with a secret, it is not in there.
func TestProblemsKeepSecrets(t *testing.T) {
	for _, file := range []string{
		"auth: {hs256_secret: hunter2}", "auth: {hs256_secret: [hunter2]}", "redis: {password: {hunter2: hunter2}}",
		"database: {driver: mysql, dsn: 'u:hunter2@'}", "database: {driver: mysql, dsn: 'u:p@hunter2(x)/y'}", "database: {dsn: 'u:hunter2@tcp(h)/n?x=y'}",
		"webhooks: [{url: 'http://a', secret: hunter2}]", "webhooks: [hunter2]", "auth: {api_keys: [{name: a, role: admin, sha256: hunter2}]}",
		"meeting: {members_url: 'ftp://u:hunter2@a/'}", "auth: {introspect_url: 'ftp://u:hunter2@a/'}", "auth: {introspect_url: [hunter2]}",
	} {
		_, err := Load(write(t, file))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", file, err)
		}
	}
}
