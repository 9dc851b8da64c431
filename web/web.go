// Package web holds what browsers load from this service: the pages and the client of Socket.IO. It is empty until "make web" has built
// them; the rest of the service does not need it.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"time"
)

//go:embed all:dist
var built embed.FS

// dist is what was built; the test takes it away.
var dist fs.FS = built

// Client serves the browser client of Socket.IO, whatever the path of the request. Without it in the binary the answer
// is 404 and says how to get it there.
func Client() http.Handler {
	script, err := fs.ReadFile(dist, "dist/socket.io.js")
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the browser client is not part of this binary: run \"make web\" and build it again", http.StatusNotFound)
		})
	}
	etag := tag(script)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this can only be read", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Cache-Control", "no-cache") // ask each time, mostly to hear that nothing changed
		h.Set("ETag", etag)
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "socket.io.js", time.Time{}, bytes.NewReader(script))
	})
}

// tag names what is in a file.
func tag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
