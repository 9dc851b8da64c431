package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"rollcall/internal/config"
	"rollcall/internal/rescue"
)

// times bound what a client may take, so that one who is slow on purpose holds nothing for long. Tests shorten them.
type times struct {
	header time.Duration // for the headers of a request, and for the handshake of TLS
	body   time.Duration // for a body to arrive
	write  time.Duration // for one write of an answer to go out
	idle   time.Duration // between two requests on one connection
}

var usualTimes = times{header: 10 * time.Second, body: 10 * time.Second, write: 30 * time.Second, idle: 2 * time.Minute}

// maxHeader bounds the bytes of all headers of a request.
const maxHeader = 32 << 10

// methods are what any door answers to. CONNECT and TRACE are for proxies.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// front is what every request passes on its way to a door.
type front struct {
	next  http.Handler
	net   *rescue.Net
	times times
	tls   bool
	local bool // only who calls us by a name of this machine is answered
}

// local reports whether nobody is asked who he is because only programs of this machine can come. Browsers are such programs,
// and a page of anybody can have a name of his lead to this machine: to the browser we are then a part of that page. Whoever has
// a reverse proxy in front, or says that he knows what he does, has names of his own.
func local(c config.Config) bool {
	return c.Auth.Mode == "none" && !c.Auth.AllowInsecure && len(c.HTTP.TrustedProxies) == 0
}

// ours reports whether a Host is this machine to everybody. Browsers always send one.
func ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return host == "" || strings.EqualFold(host, "localhost")
}

// newServer returns the HTTP server in front of the doors.
func newServer(f *front, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: f, ReadHeaderTimeout: f.times.header, IdleTimeout: f.times.idle, MaxHeaderBytes: maxHeader,
		// With HTTP/2 the deadlines of an answer are those of a stream: they end the answer, but not a write to the connection
		// that is stuck already, and with it everything on that.
		HTTP2:                        &http.HTTP2Config{WriteByteTimeout: f.times.write, SendPingTimeout: f.times.idle, PingTimeout: f.times.header},
		DisableGeneralOptionsHandler: true, // it would wait for a body for ever
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP implements http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w, patience: f.times.write}
	defer f.end(a)
	f.harden(w.Header())
	if r.ContentLength != 0 {
		// For the door that reads the body, and for net/http, which reads what a door has left and would wait for it. At the end
		// of the body net/http lifts the deadline, so a door may work on it for longer.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(f.times.body)) // a connection that cannot is that of a test
	}
	switch {
	case f.local && !ours(r.Host):
		refuse(a, http.StatusMisdirectedRequest, `{"title":"Misdirected Request","status":421,"detail":"with auth.mode none only localhost is answered; behind a reverse proxy set http.trusted_proxies, or auth.allow_insecure","code":"misdirected"}`)
	case !slices.Contains(methods, r.Method):
		w.Header().Set("Allow", strings.Join(methods, ", "))
		refuse(a, http.StatusMethodNotAllowed, `{"title":"Method Not Allowed","status":405,"detail":"this cannot be done here","code":"method_not_allowed"}`)
	case r.Method == http.MethodOptions && r.URL.Path == "*": // asks whether somebody is there
		a.WriteHeader(http.StatusNoContent)
	default:
		f.next.ServeHTTP(a, r)
	}
}

// harden sets the headers that are good for every answer. A door may replace them.
func (f *front) harden(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if f.tls {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// end is deferred: a panic of a door becomes an answer, or if it is too late for one, the end of the connection, which
// tells the client that what it has is not all.
func (f *front) end(a *answer) {
	p := recover()
	if p == nil {
		a.hurry() // net/http sends the rest
		return
	}
	aborts := p == http.ErrAbortHandler // as net/http compares it
	if !aborts {
		f.net.Caught("http", p)
	}
	switch {
	case a.taken():
		a.drop()
	case aborts || a.begun.Load():
		panic(http.ErrAbortHandler)
	default:
		h := a.Header()
		clear(h) // they were those of another answer
		f.harden(h)
		refuse(a, http.StatusInternalServerError, `{"title":"Internal Server Error","status":500,"detail":"something went wrong","code":"internal"}`)
		a.hurry()
	}
}

// refuse answers with a problem document.
func refuse(w http.ResponseWriter, status int, document string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, document) // who has gone does not hear it
}
