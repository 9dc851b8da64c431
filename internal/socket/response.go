package socket

import (
	"maps"
	"net/http"
	"sync"
	"time"
)

// response stands between a request for long-polling and the library. Whoever has something to say answers a waiting
// poll, from a goroutine of his own; when the client gives the poll up meanwhile, its handler returns and the server
// takes the writer back. From then on an answer must touch nothing of it.
type response struct {
	mu    sync.Mutex // held for every use of w
	w     http.ResponseWriter
	own   http.Header // what is to be sent; written by one goroutine at a time
	wrote bool
	over  bool
}

func newResponse(w http.ResponseWriter) *response { return &response{w: w, own: w.Header().Clone()} }

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.own }

// WriteHeader implements http.ResponseWriter.
func (r *response) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writeHeader(status)
}

func (r *response) writeHeader(status int) {
	if r.over || r.wrote {
		return
	}
	r.wrote = true
	maps.Copy(r.w.Header(), r.own)
	r.w.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *response) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return 0, http.ErrHandlerTimeout
	}
	r.writeHeader(http.StatusOK)
	return r.w.Write(b)
}

// SetReadDeadline is used by http.ResponseController.
func (r *response) SetReadDeadline(at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(r.w).SetReadDeadline(at)
}

// SetWriteDeadline is used by http.ResponseController. The deadline ends with the request, not with the connection.
func (r *response) SetWriteDeadline(at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(r.w).SetWriteDeadline(at)
}

// end is called when the handler returns.
func (r *response) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = http.NewResponseController(r.w).SetWriteDeadline(time.Time{})
	r.over = true
}
