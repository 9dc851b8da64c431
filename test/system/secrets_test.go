package system_test

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

const redisPassword = "pl4nted-password-of-redis"

// userinfo are a name and a password in front of the host of an address.
func userinfo(address string) string {
	return strings.Replace(address, "http://", "http://rollcall:pl4nted-password-in-an-address@", 1)
}

// ownRedis starts a Redis that asks for a password, and returns its address and what ends it.
func ownRedis(t *testing.T) (addr string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--requirepass", redisPassword, "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	end = func() { _, _ = cmd.Process.Kill(), cmd.Wait() }
	t.Cleanup(end)
	storetest.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, "Redis does not start")
	return addr, end
}

// vault is a server with a secret in every place that takes one, and everything around it that may fail.
type vault struct {
	*server
	backend  *httptest.Server // answers nobody well
	endRedis func()
	answers  int
}

func newVault(t *testing.T) *vault {
	v := &vault{backend: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "broken, and it repeats what it was sent: "+r.Header.Get("Authorization")+r.URL.String(), http.StatusInternalServerError)
	}))}
	t.Cleanup(v.backend.Close)
	at := userinfo(v.backend.URL)
	redis, end := ownRedis(t)
	v.endRedis = end
	v.server = launch(t, store.MySQL, settings{
		"auth": "jwt", "auth.cookie_name": tokenCookie, "auth.introspect_url": at + "/introspect", "auth.jwks_url": v.backend.URL + "/jwks", "log.level": "debug", "debug.pprof": "true",
		"redis.addr": redis, "redis.password": redisPassword, "meeting.members_url": at + "/members/{conferenceId}", "meeting.end_share_url": at + "/share", "webhook.retry_base": "50ms", "database.timeout": "1s",
	})
	v.tells(at+"/hook", "")
	return v
}

// asks calls REST; that the answer holds no secret, call checks.
func (v *vault) asks(method, path string, body any, headers ...string) (int, http.Header) {
	v.t.Helper()
	v.answers++
	return v.call(method, path, body, nil, headers...)
}

// Show 8: whatever fails and whoever asks, no secret of the configuration and none of a caller is in the log, in an answer or in
// the database.
func TestSecretsAreKept(t *testing.T) {
	v := newVault(t)
	driver := clienttest.Start(t)
	good, over := token(t, "7"), token(t, "7", until(time.Now().Add(-time.Hour)))
	sockets := 0
	for _, c := range carriers {
		for _, text := range []string{good, over, good[:len(good)-4], "opaque.pl4nted.token", "pl4nted"} {
			client := driver.Open(t, c.holding(v.base, text))
			got := fate(t, client)
			for _, e := range client.Log() { // a client that was refused is not told its token
				v.keepsSecrets("what a client is told", fmt.Sprintf("%s %s %s %s %s", e.Message, e.Data, e.Reason, e.Cause, e.Args))
			}
			if got == "in" {
				client.EmitAck(t, "reauth", map[string]any{"token": over})
				client.EmitAck(t, "reauth", map[string]any{"token": good})
			}
			client.Close(t)
			sockets++
		}
	}
	v.callers(good, over)
	v.rooms()
	v.fails()
	v.noRow()
	v.stop()
	storetest.Show(t, "0 hits of secrets in the log at level debug (%d bytes), %d answers, what %d sockets were told, and the whole database", len(v.logged()), v.answers, sockets)
}

// callers show keys, tokens and cookies that are good, wrong, and in wrong places.
func (v *vault) callers(good, over string) {
	t := v.t
	var in struct{ CSRF string }
	status, h := v.call("POST", "/api/v1/session", map[string]string{"key": adminKey}, &in, "Authorization", "", "Idempotency-Key", "one")
	if status != http.StatusCreated {
		t.Fatalf("the login was answered %d", status)
	}
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	_, secret, _ := strings.Cut(cookie, "=")
	for _, c := range [][]string{
		{"Authorization", "Bearer " + viewerKey}, {"Authorization", "Bearer " + adminKey + "x"}, {"Authorization", "Bearer " + good}, {"Authorization", "Bearer " + over}, {"Authorization", "Basic " + adminKey},
		{"Authorization", adminKey}, {"Authorization", "", "X-API-Key", backendKey}, {"Authorization", "", "X-API-Key", backendKey + "x"}, {"X-API-Key", viewerKey}, {"Authorization", "", "Cookie", cookie},
		{"Authorization", "", "Cookie", cookie + "x"}, {"Authorization", "", "Cookie", cookie, "X-CSRF-Token", in.CSRF}, {"User-Agent", adminKey}, {"Idempotency-Key", adminKey}, {"Referer", "http://x/?key=" + adminKey},
	} {
		for _, path := range []string{"/api/v1/users/7/inbox", "/api/v1/session", "/metrics", "/debug/pprof/", "/no/such/path"} {
			v.asks("GET", path, nil, c...)
		}
		v.asks("POST", "/api/v1/users", `{"users":[]}`, c...)
	}
	for _, body := range []string{`{"key":"pl4nted-guess"}`, `{"kee":"pl4nted-guess"}`, `{"key":["pl4nted-guess"]}`, `pl4nted`} { // there are few tries a second
		v.asks("POST", "/api/v1/session", body)
	}
	for _, path := range []string{"/api/v1/presence?key=", "/api/v1/presence?access_token=", "/api/v1/notices?cursor=", "/socket.io/?EIO=4&transport=polling&key=", "/metrics?key="} {
		for _, text := range []string{adminKey, good} {
			v.asks("GET", path+text, nil, "Authorization", "")
		}
	}
	for _, path := range []string{"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline", "/openapi.json", "/metrics", "/readyz", "/api/v1/nodes"} {
		v.asks("GET", path, nil)
	}
	v.asks("DELETE", "/api/v1/session", nil, "Authorization", "", "Cookie", cookie, "X-CSRF-Token", in.CSRF)
	if strings.Contains(v.logged(), secret) {
		t.Error("the log holds the cookie of a login")
	}
}

// rooms has the server call everybody whom it may call, each with a password, and read what came of it.
func (v *vault) rooms() {
	for _, user := range []string{"7", "8"} {
		w, err := join(v.base, user, "42", "token", token(v.t, user))
		if err != nil {
			v.t.Fatal(err)
		}
		defer w.leave()
	}
	v.must("POST", "/api/v1/conferences/42/same-screen", `{"action":"start","userId":"7"}`, nil)
	v.must("POST", "/api/v1/users/7/kick", `{}`, nil)
	v.asks("POST", "/api/v1/notices", `{"to":{"conference":"nobody-registered"},"title":"x"}`) // the backend has to be asked, and fails
	storetest.Eventually(v.t, func() bool {
		var deliveries string
		v.answers++
		v.call("GET", "/api/v1/webhooks/deliveries?limit=200", nil, &deliveries)
		return strings.Contains(deliveries, "500")
	}, "no delivery fails")
	for _, path := range []string{"/api/v1/explain?userId=7&conferenceId=42", "/api/v1/notices?limit=200", "/api/v1/notices/export.csv", "/api/v1/presence"} {
		v.asks("GET", path, nil)
	}
}

// fails takes away Redis and then the database, whose user gets another password.
func (v *vault) fails() {
	t := v.t
	v.endRedis()
	v.backend.Close()
	v.asks("GET", "/readyz", nil)
	admin := v.pool()
	c, err := mysql.ParseDSN(v.dsn())
	if err != nil {
		t.Fatal(err)
	}
	change := func(password string) {
		if _, err := admin.Exec("ALTER USER '" + c.User + "'@'%' IDENTIFIED BY '" + password + "'"); err != nil {
			t.Fatal(err)
		}
	}
	change("another")
	rows, err := admin.Query("SELECT id FROM information_schema.processlist WHERE user = ?", c.User)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if rows.Scan(&n) == nil {
			_, _ = admin.Exec(fmt.Sprint("KILL ", n))
		}
	}
	storetest.EventuallyWithin(t, 20*time.Second, func() bool {
		status, _ := v.asks("GET", "/readyz", nil)
		return status == http.StatusServiceUnavailable
	}, "the server does not notice that it is locked out of its database")
	v.asks("GET", "/api/v1/notices", nil)
	v.asks("PUT", "/api/v1/users/7", `{"name":"x"}`)
	v.asks("POST", "/api/v1/session", map[string]string{"key": adminKey})
	if _, err := join(v.base, "7", "42", "token", token(t, "7")); err == nil {
		t.Error("somebody came in without a database")
	}
	change(rowsPassword)
	storetest.EventuallyWithin(t, 20*time.Second, func() bool {
		status, _ := v.asks("GET", "/api/v1/notices", nil)
		return status == http.StatusOK
	}, "the server does not find back to its database")
}

// dsn is the server's own.
func (s *server) dsn() (dsn string) {
	for _, e := range s.env {
		if v, ok := strings.CutPrefix(e, "ROLLCALL_DATABASE_DSN="); ok {
			dsn = v
		}
	}
	return dsn
}

// noRow looks through every cell of every table.
func (v *vault) noRow() {
	t, db := v.t, v.pool()
	tables, err := db.Query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	seen := 0
	for tables.Next() {
		var name string
		if err := tables.Scan(&name); err != nil {
			t.Fatal(err)
		}
		seen += v.noCell(db, name)
	}
	if seen == 0 {
		t.Error("the database is empty, and proves nothing")
	}
}

func (v *vault) noCell(db *sql.DB, table string) (seen int) {
	rows, err := db.Query("SELECT * FROM `" + table + "`")
	if err != nil {
		v.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		v.t.Fatal(err)
	}
	cells, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			v.t.Fatal(err)
		}
		for i, cell := range cells {
			v.keepsSecrets("the column "+columns[i]+" of "+table, string(cell))
			seen++
		}
	}
	return seen
}

// A configuration that is wrong is told in full, but for what is secret in it, also where somebody put a secret into the wrong
// place.
func TestWrongConfigurationKeepsSecrets(t *testing.T) {
	s := &server{t: t, path: quick, db: storetest.DSN(t, store.MySQL)}
	right := s.withPassword()
	told := 0
	for what, c := range map[string]struct {
		file string
		env  map[string]string
		args []string
	}{
		"a short secret":          {env: map[string]string{"AUTH_MODE": "jwt", "AUTH_HS256_SECRET": "pl4nted"}},
		"a short secret as flag":  {args: []string{"-auth.mode", "jwt", "-auth.hs256_secret", "pl4nted"}},
		"a key for its hash":      {file: "auth:\n  api_keys:\n  - {name: a, role: admin, sha256: " + adminKey + "}\n"},
		"a key for its name":      {file: "auth:\n  api_keys:\n  - {role: admin, key: " + adminKey + "}\n"},
		"a secret without form":   {file: "webhooks:\n- {url: 'http://127.0.0.1/', secret: pl4nted}\n"},
		"a secret of webhooks":    {file: "webhooks:\n- {url: 'http://u:pl4nted@:x/', secret: " + webhookSecret + "}\n"},
		"a secret that is a list": {file: "auth:\n  hs256_secret: [pl4nted]\n"},
		"a secret that is a map":  {file: "redis:\n  password: {pl4nted: pl4nted}\n"},
		"a line that is no YAML":  {file: "auth:\n  hs256_secret: \"pl4nted\n  jwks_url: x\n"},
		"a tab":                   {file: "redis:\n\tpassword: pl4nted\n"},
		"twice":                   {file: "redis:\n  password: pl4nted\n  password: pl4nted\n"},
		"a source that is none":   {env: map[string]string{"DATABASE_DRIVER": "mysql", "DATABASE_DSN": "root:pl4nted/@nowhere"}},
		"a source for SQLite":     {env: map[string]string{"DATABASE_DSN": "root:pl4nted@tcp(127.0.0.1)/x"}},
		"addresses":               {env: map[string]string{"MEETING_MEMBERS_URL": "ftp://u:pl4nted@h/", "AUTH_INTROSPECT_URL": "http://u:pl4nted@h:99999999/%zz", "AUTH_JWKS_URL": "u:pl4nted@h", "MEETING_END_SHARE_URL": "//u:pl4nted@h", "TRACING_ENDPOINT": "http://u:pl4nted@ h/"}},
		"a variable of no key":    {env: map[string]string{"AUTH_HS256_SECRTE": "pl4nted"}},
		"a flag of no key":        {args: []string{"-auth.hs256_secrte=pl4nted"}},
		"a number":                {env: map[string]string{"REDIS_PASSWORD": "pl4nted", "REDIS_DB": "x"}},
		"a private key":           {env: map[string]string{"AUTH_MODE": "jwt", "AUTH_PUBLIC_KEY_FILE": privateKey(t)}},
		"no database":             {env: map[string]string{"DATABASE_DRIVER": "mysql", "DATABASE_DSN": "root:" + rowsPassword + "@tcp(127.0.0.1:1)/x", "DATABASE_TIMEOUT": "200ms"}},
		"a wrong password":        {env: map[string]string{"DATABASE_DRIVER": "mysql", "DATABASE_DSN": strings.Replace(right, rowsPassword, "pl4nted-but-wrong", 1)}},
		"no Redis":                {env: map[string]string{"REDIS_ADDR": "127.0.0.1:1", "REDIS_PASSWORD": redisPassword, "HTTP_ADDR": "nowhere"}},
	} {
		for _, command := range []string{"check", "serve", "migrate"} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append([]string{command}, c.args...)
			if command == "migrate" {
				args = append([]string{command, "up"}, c.args...)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, quick, args...)
			cmd.Dir, cmd.Env = dir, []string{"ROLLCALL_HTTP_ADDR=127.0.0.1:0"}
			for k, v := range c.env {
				cmd.Env = append(cmd.Env, "ROLLCALL_"+k+"="+v)
			}
			out, err := endsBy(cmd)
			s.keepsSecrets(what+" ("+command+")", out)
			if err == nil && command == "check" && !strings.Contains("no database a wrong password", what) {
				t.Errorf("%s: check finds nothing wrong", what)
			}
			told++
		}
	}
	storetest.Show(t, "0 hits of secrets in what %d wrong starts said", told)
}

// endsBy runs a program that ought to end by itself, and ends it if it does not. It returns all that it said.
func endsBy(cmd *exec.Cmd) (said string, err error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return out.String(), err
}

// privateKey writes one into a file.
func privateKey(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(curve(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "private.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"Comment": "pl4nted"}, Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
