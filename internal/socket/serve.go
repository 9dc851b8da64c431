package socket

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"rollcall/internal/throttle"
)

// Clients that cannot be let in for now are told to come back after retryAfter, or up to retrySpread later, so that they do not
// come back together.
const (
	retryAfter  = time.Second
	retrySpread = 4 * time.Second
)

// methods are those that Engine.IO needs.
var methods = strings.Join([]string{http.MethodGet, http.MethodPost, http.MethodOptions}, ", ")

// ServeHTTP answers the Engine.IO requests of both revisions. Whoever cannot be let in for now is refused here, before
// a session exists: stock clients come back after such a refusal, and never after a later one.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.Net.Call("answer a request", func() { d.serve(w, r) }) {
		panic(http.ErrAbortHandler) // as a handler says that its connection is to be closed
	}
}

func (d *Door) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodOptions:
	default:
		w.Header().Set("Allow", methods)
		http.Error(w, "Engine.IO has no such method", http.StatusMethodNotAllowed)
		return
	}
	if !d.Origins.Allow(r) {
		http.Error(w, "this page may not connect: its origin is not in http.allowed_origins", http.StatusForbidden)
		return
	}
	d.Origins.Answer(w, r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.Header.Del("Origin") // it was checked; the library would check it again, by a rule of its own
	q := r.URL.Query()
	if why := d.foreign(q); why != "" {
		http.Error(w, why, http.StatusBadRequest)
		return
	}
	if q.Get("sid") == "" && !d.welcomes(w, r) { // a blank one is none to the library
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		begun := handshaking(make(chan struct{}))
		defer close(begun)
		d.engines.ServeHTTP(w, kept(r).WithContext(begun))
		return
	}
	answer := newResponse(w)
	defer answer.end()
	d.engines.ServeHTTP(answer, r)
}

// kept copies what of a request is needed until its socket was let in, for which thousands may wait.
func kept(r *http.Request) *http.Request {
	return &http.Request{
		Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Header: r.Header,
		Body: http.NoBody, Host: r.Host, RemoteAddr: r.RemoteAddr, RequestURI: r.RequestURI, TLS: r.TLS,
	}
}

// handshaking is the context of such a request. It ends with the handshake, as net/http's would; but that is large, and the library keeps it.
type handshaking chan struct{}

func (handshaking) Deadline() (at time.Time, ok bool) { return time.Time{}, false }
func (h handshaking) Done() <-chan struct{}           { return h }
func (handshaking) Value(any) any                     { return nil }
func (h handshaking) Err() error {
	select {
	case <-h:
		return context.Canceled
	default:
		return nil
	}
}

// foreign says what makes a query one that is not answered here, "" if nothing does. The library reads the last of several
// values and we the first, so there may be only one.
func (d *Door) foreign(q url.Values) string {
	for _, key := range []string{"EIO", "transport", "sid"} {
		if len(q[key]) > 1 {
			return key + " must be given once"
		}
	}
	switch eio := q.Get("EIO"); {
	case q.Has("j"):
		return "JSONP is not offered"
	case eio != "3" && eio != "4", eio == "3" && !d.AllowEIO3:
		return "this revision of the Engine.IO protocol is not spoken here"
	}
	return ""
}

// welcomes reports whether a new session may begin. If not, it has answered.
func (d *Door) welcomes(w http.ResponseWriter, r *http.Request) bool {
	if wait, ok := d.handshakes.Take(throttle.Address(d.Proxies.Address(r))); !ok {
		d.metrics.connects.WithLabelValues("rate_limited").Inc()
		sayLater(w, wait, http.StatusTooManyRequests)
		return false
	}
	if d.ready() != nil {
		d.metrics.connects.WithLabelValues("unavailable").Inc()
		sayLater(w, retryAfter+rand.N(retrySpread), http.StatusServiceUnavailable)
		return false
	}
	return true
}

func sayLater(w http.ResponseWriter, wait time.Duration, status int) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
	http.Error(w, "try again in a moment", status)
}

// ready reports why nobody can be let in for now.
func (d *Door) ready() error {
	switch {
	case d.closed.Load():
		return errClosing
	case d.waiting.Load() >= waitingMost:
		return errCrowded
	}
	return d.Ready()
}
