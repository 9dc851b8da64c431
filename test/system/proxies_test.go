package system_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The examples of docs/operations.md, as they stand there: clients of both generations, by every way, come in through the proxy to
// two nodes, are one room, and find the other node when theirs stops.
func TestProxies(t *testing.T) {
	for name, proxy := range map[string]func(t *testing.T, dir, example string) []string{"nginx": nginx, "haproxy": haproxy} {
		t.Run(name, func(t *testing.T) {
			a := launch(t, store.MySQL, settings{"http.trusted_proxies": "127.0.0.1", "shutdown.drain": "500ms", "presence.node_heartbeat": "500ms", "presence.node_timeout": "2s", "presence.grace": "8s"})
			b := a.beside()
			c := &crowd{server: &server{t: t, base: proxied(t, name, proxy, a, b)}}
			driver := clienttest.Start(t)
			for i := range 2 {
				for kind, o := range []clienttest.Options{
					{Transports: []string{"websocket"}}, {Transports: []string{"polling"}}, {},
					{Version: 2, Transports: []string{"websocket"}}, {Version: 2, Transports: []string{"polling"}}, {Version: 2},
				} {
					o.URL, o.Reconnect, o.Query = c.base, true, map[string]string{"userId": fmt.Sprintf("u%d-%d", i, kind), "conferenceId": "42"}
					c.clients = append(c.clients, driver.Connect(t, o))
				}
			}
			c.areOneRoom("before")
			for _, path := range []string{"/room", "/admin", "/assets/rollcall.svg", "/docs", "/metrics"} {
				if status, _ := c.call("GET", path, nil, nil); status != 200 {
					t.Errorf("%s: status %d", path, status)
				}
			}
			both := a.metric("rollcall_sockets") > 0 && b.metric("rollcall_sockets") > 0
			if !both {
				t.Errorf("all sockets are on one node")
			}
			b.stop()
			c.areOneRoom("after")
			for _, client := range c.clients {
				if n := len(client.Events("offline_notice")); n > 0 {
					t.Errorf("a client was told %d times that somebody went", n)
				}
			}
		})
	}
}

// areOneRoom waits until everybody is in and gets a change that is made through the proxy.
func (c *crowd) areOneRoom(word string) {
	c.t.Helper()
	storetest.EventuallyWithin(c.t, 30*time.Second, func() bool {
		var p struct{ Online int }
		status, _ := c.call("GET", "/api/v1/conferences/42/presence", nil, &p)
		return status == 200 && p.Online == len(c.clients)
	}, "not everybody is in")
	c.must("PATCH", "/api/v1/conferences/42/tree", fmt.Sprintf(`{"topicInfo":{"title":%q}}`, word), nil)
	for _, client := range c.clients {
		client.Wait(c.t, "note_tree", says(word))
	}
}

// proxied starts a proxy by its example in front of two nodes and returns its address.
func proxied(t *testing.T, name string, command func(t *testing.T, dir, example string) []string, a, b *server) string {
	t.Helper()
	root, err := storetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```"+name+"\n")
	example, _, found := strings.Cut(example, "\n```")
	if !found {
		t.Fatalf("docs/operations.md has no example for %s", name)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	example = strings.NewReplacer("10.0.0.11:8080", strings.TrimPrefix(a.base, "http://"), "10.0.0.12:8080", strings.TrimPrefix(b.base, "http://"),
		"listen 80;", "listen "+address+";", "bind :80", "bind "+address).Replace(example)
	args := command(t, t.TempDir(), example)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
	base := "http://" + address
	storetest.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/nodes", nil)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, name+" does not serve")
	return base
}

func nginx(t *testing.T, dir, example string) []string {
	t.Helper()
	config := fmt.Sprintf(`user root;
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr;
events {}
http {
access_log off;
client_body_temp_path %[1]s/body;
proxy_temp_path %[1]s/proxy;
fastcgi_temp_path %[1]s/fastcgi;
uwsgi_temp_path %[1]s/uwsgi;
scgi_temp_path %[1]s/scgi;
%[2]s
}
`, dir, example)
	return []string{"/usr/sbin/nginx", "-p", dir, "-c", written(t, dir, config)}
}

func haproxy(t *testing.T, dir, example string) []string {
	t.Helper()
	return []string{"/usr/sbin/haproxy", "-db", "-f", written(t, dir, example+"\n")}
}

func written(t *testing.T, dir, config string) string {
	t.Helper()
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
