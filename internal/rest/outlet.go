package rest

import (
	"net/http"
	"time"
)

const (
	// answerPatience is how long a client may take to read an answer, unless its handler says otherwise.
	answerPatience = 30 * time.Second
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
	control := http.NewResponseController(w.ResponseWriter)
	_ = control.SetWriteDeadline(time.Now().Add(w.visit.patience)) // not every writer can, a test's for one
	if w.visit.unread {
		_ = control.SetReadDeadline(time.Now().Add(leftoverPatience))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *outlet) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	if err != nil {
		w.visit.lost = err
	}
	return n, err
}

// Unwrap is used by http.ResponseController.
func (w *outlet) Unwrap() http.ResponseWriter { return w.ResponseWriter }
