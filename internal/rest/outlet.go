package rest

import (
	"net/http"
	"time"
)

const (
	// answerPatience is how long a client may take to read chunkSize bytes of an answer, unless its handler says otherwise.
	answerPatience = 30 * time.Second
	chunkSize      = 256 << 10
	// leftoverPatience is how long a body may take to arrive that nobody reads: the server wants to have it before it answers.
	leftoverPatience = time.Second
)

// outlet is the way of an answer to a client that may be slow, on purpose or not. Its deadlines end with the request.
type outlet struct {
	http.ResponseWriter
	visit *visit
}

// WriteHeader implements http.ResponseWriter.
func (w *outlet) WriteHeader(status int) {
	w.extend()
	if w.visit.unread {
		_ = http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(leftoverPatience))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. Who reads slowly has time for each chunk, however large the answer is.
func (w *outlet) Write(b []byte) (written int, err error) {
	for {
		chunk := b[written:min(len(b), written+chunkSize)]
		w.extend()
		n, err := w.ResponseWriter.Write(chunk)
		if written += n; err != nil {
			w.visit.lost = err
			return written, err
		}
		if written == len(b) {
			return written, nil
		}
	}
}

// extend gives the client time to read what is written next.
func (w *outlet) extend() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.visit.patience)) // not every writer can, a test's for one
}

// Unwrap is used by http.ResponseController.
func (w *outlet) Unwrap() http.ResponseWriter { return w.ResponseWriter }
