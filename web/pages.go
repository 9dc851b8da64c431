package web

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// unbuilt is shown in the place of a page while there is none in the binary.
//
//go:embed unbuilt.html
var unbuilt []byte

// policy is what a page may do: load from the server that it came from, and talk to it. Style attributes are for charts, which write their
// tooltips as HTML.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Settings is what the pages have to know of the server before they talk to it.
type Settings struct {
	SocketPath string `json:"socketPath"` // where the Socket.IO door is
	Auth       string `json:"auth"`       // "none" or "jwt"
}

// Pages serves /room, /admin and what they load from /assets, and leads from / to /room. While they are not in the binary, the answer to a page
// is 404 with a page that says how to get them there.
func Pages(s Settings) http.Handler {
	settings, err := json.Marshal(s)
	if err != nil {
		panic(err) // cannot be: two strings
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/settings.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(settings) // who went away needs none
	})
	mux.Handle("GET /{$}", http.RedirectHandler("/room", http.StatusFound))
	for _, name := range []string{"room", "admin"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { page(w, r, name) })
	}
	mux.HandleFunc("GET /assets/{name}", asset)
	return mux
}

func page(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer") // a token may be in the address
	h.Set("Cache-Control", "no-cache")
	if serve(w, r, name+".html") {
		return
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(unbuilt) // who went away needs no page
}

// asset serves a file whose name has a hash of what is in it, and the icon.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if strings.HasSuffix(name, ".svg") {
		w.Header().Set("Cache-Control", "no-cache")
	} else {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".br") || !serve(w, r, "assets/"+name) {
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "there is nothing here", http.StatusNotFound)
	}
}

// serve serves a file that was built, compressed if the browser takes that, and reports whether there is one.
func serve(w http.ResponseWriter, r *http.Request, name string) bool {
	h := w.Header()
	for _, c := range []struct{ encoding, suffix string }{{"br", ".br"}, {"gzip", ".gz"}, {"", ""}} {
		if c.encoding != "" && !accepts(r, c.encoding) {
			continue
		}
		body, err := fs.ReadFile(dist, "dist/"+name+c.suffix) // not joined: a name that climbs is none
		if err != nil {
			continue
		}
		h.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
		h.Set("Vary", "Accept-Encoding")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", tag(body))
		if c.encoding != "" {
			h.Set("Content-Encoding", c.encoding)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return true
	}
	return false
}

// accepts reports whether a browser takes an encoding. Who refuses one says q=0.
func accepts(r *http.Request, encoding string) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			return strings.Trim(strings.TrimPrefix(strings.ReplaceAll(quality, " ", ""), "q="), "0.") != "" || quality == ""
		}
	}
	return false
}
