package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(method, etag string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/socket.io/socket.io.js", nil)
	r.Header.Set("If-None-Match", etag)
	w := httptest.NewRecorder()
	Client().ServeHTTP(w, r)
	return w
}

func TestClient(t *testing.T) {
	got := ask(http.MethodGet, "")
	if got.Code != http.StatusOK {
		t.Fatalf("status %d, %s: build it with make web", got.Code, strings.TrimSpace(got.Body.String()))
	}
	if body := got.Body.String(); !strings.Contains(body, "Socket.IO v4.8") || strings.Contains(body, "sourceMappingURL") {
		t.Errorf("not the client without the name of its source map: %.200s", body)
	}
	if ct := got.Header().Get("Content-Type"); ct != "text/javascript; charset=utf-8" {
		t.Errorf("content type %q", ct)
	}
	tag := got.Header().Get("ETag")
	for _, c := range []struct {
		method, etag string
		status       int
	}{{http.MethodHead, "", http.StatusOK}, {http.MethodGet, tag, http.StatusNotModified}, {http.MethodGet, `"old"`, http.StatusOK}, {http.MethodPost, "", http.StatusMethodNotAllowed}} {
		if r := ask(c.method, c.etag); r.Code != c.status {
			t.Errorf("%s with tag %q: status %d, want %d", c.method, c.etag, r.Code, c.status)
		}
	}
}
