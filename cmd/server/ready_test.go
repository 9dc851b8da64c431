package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/internal/config"
)

// A probe by the program itself: yes while the service is open, no when somebody else or nobody is there.
func TestReady(t *testing.T) {
	c := launch(t, "")
	if code, stdout, stderr := call(t, "ready", "-http.addr", c.addr); code != 0 || !strings.Contains(stdout, `"database":"ok"`) {
		t.Errorf("exit code %d, said %q %q", code, stdout, stderr)
	}
	if code := c.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if code, _, stderr := call(t, "ready", "-http.addr", c.addr); code != 1 || !strings.Contains(stderr, "not ready") {
		t.Errorf("with nobody there: exit code %d, said %q", code, stderr)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the node is about to stop", http.StatusServiceUnavailable)
	}))
	defer other.Close()
	if code, _, stderr := call(t, "ready", "-http.addr", other.Listener.Addr().String()); code != 1 || !strings.Contains(stderr, "503") || !strings.Contains(stderr, "about to stop") {
		t.Errorf("when it answers 503: exit code %d, said %q", code, stderr)
	}
	if code, _, _ := call(t, "ready", "-http.addr", "127.0.0.1:0"); code != 2 {
		t.Errorf("without a port: exit code %d", code)
	}
}

func TestReadyURL(t *testing.T) {
	for want, c := range map[string]config.HTTP{
		"http://127.0.0.1:8080/readyz":  {Addr: "0.0.0.0:8080"},
		"http://127.0.0.1:81/readyz":    {Addr: ":81"},
		"http://[::1]:8080/readyz":      {Addr: "[::]:8080"},
		"http://localhost:8080/readyz":  {Addr: "localhost:8080"},
		"https://10.0.0.11:8443/readyz": {Addr: "10.0.0.11:8443", TLSCert: "cert.pem"},
	} {
		if got, err := readyURL(c); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", c.Addr, got, err, want)
		}
	}
}
