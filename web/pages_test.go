package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// get asks the pages, with headers as names and values in turns.
func get(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	Pages(Settings{SocketPath: "/socket.io/", Auth: "none"}).ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	script := regexp.MustCompile(`src="(/assets/[^"]+\.js)"`)
	for _, path := range []string{"/room", "/admin"} {
		plain := get(path)
		if plain.Code != http.StatusOK {
			t.Fatalf("%s: status %d: build it with make web", path, plain.Code)
		}
		if policy := plain.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s may load what it likes: %q", path, policy)
		}
		if c := plain.Header().Get("Cache-Control"); c != "no-cache" {
			t.Errorf("%s may be old: %q", path, c)
		}
		m := script.FindStringSubmatch(plain.Body.String())
		if m == nil {
			t.Fatalf("%s loads no script: %s", path, plain.Body)
		}
		asset := get(m[1])
		if asset.Code != http.StatusOK || !strings.Contains(asset.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %v", m[1], asset.Code, asset.Header())
		}
		if kind := asset.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/javascript") {
			t.Errorf("%s is %q", m[1], kind)
		}
	}
}

// What is loaded is compressed for who takes that, is the same when unpacked, and has another tag.
func TestCompressed(t *testing.T) {
	plain := get("/room")
	if plain.Code != http.StatusOK {
		t.Fatalf("status %d: build it with make web", plain.Code)
	}
	for _, c := range []struct{ accept, encoding string }{
		{"gzip, deflate, br", "br"}, {"gzip", "gzip"}, {"GZIP;q=0.5", "gzip"}, {"br;q=0, gzip;q=0.0", ""}, {"", ""}, {"zstd", ""}, {"broken", ""},
	} {
		got := get("/room", "Accept-Encoding", c.accept)
		if e := got.Header().Get("Content-Encoding"); e != c.encoding || got.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q gets %q, %v", c.accept, e, got.Header())
		}
		if c.encoding != "" && got.Header().Get("ETag") == plain.Header().Get("ETag") {
			t.Errorf("%s has the tag of the plain page", c.encoding)
		}
		if c.encoding == "gzip" {
			z, err := gzip.NewReader(got.Body)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, plain.Body.Bytes()) {
				t.Errorf("the gzip of the page is another one: %v", err)
			}
		}
	}
	if again := get("/room", "If-None-Match", plain.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("the same page again: status %d", again.Code)
	}
}

func TestNotPages(t *testing.T) {
	for path, status := range map[string]int{
		"/": http.StatusFound, "/assets/": http.StatusNotFound, "/assets/none.js": http.StatusNotFound, "/assets/rollcall.svg.gz": http.StatusNotFound,
		"/assets/..%2froom.html": http.StatusNotFound, "/assets/rollcall.svg": http.StatusOK, "/assets/settings.json": http.StatusOK,
	} {
		if got := get(path); got.Code != status {
			t.Errorf("%s: status %d, want %d", path, got.Code, status)
		}
	}
	if got := get("/assets/settings.json").Body.String(); got != `{"socketPath":"/socket.io/","auth":"none"}` {
		t.Errorf("settings: %s", got)
	}
}

// Without the pages the binary says how to get them, in both languages.
func TestUnbuilt(t *testing.T) {
	whole := dist
	t.Cleanup(func() { dist = whole })
	dist = fs.FS(nothing{})
	got := get("/room")
	if got.Code != http.StatusNotFound || !strings.Contains(got.Body.String(), "make run") || !strings.Contains(got.Body.String(), "页面") {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
}

// nothing is a file system without files.
type nothing struct{}

func (nothing) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
