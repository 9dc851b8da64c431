package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"rollcall/internal/auth"
	"rollcall/internal/rescue"
	"rollcall/internal/tracing"
)

// visit is one request on its way through the door. Only the goroutine that serves the request touches it.
type visit struct {
	request *http.Request // as it came
	address string
	header  http.Header // of the answer

	caller  Caller
	session *auth.Session // nil if he came without the cookie of the console
	key     *key          // nil without an Idempotency-Key

	patience time.Duration // how long he may take to read the answer
	unread   bool          // there may be a body that nobody has read
	lost     error         // why the answer could not be written
	failure  error         // for the log
}

type visitKey struct{}

// visitOf returns the visit that ServeHTTP began.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

type meters struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMeters(r prometheus.Registerer) meters {
	reg := promauto.With(r)
	return meters{
		requests: reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_http_requests_total", Help: "Requests answered, by operation and status."}, []string{"operation", "status"}),
		seconds:  reg.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_http_request_seconds", Help: "Time to answer a request, by operation.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"operation"}),
	}
}

// observe counts and logs how a visit ends.
func (d *Door) observe(c *gin.Context) {
	began := time.Now()
	v := visitOf(c.Request.Context())
	operation, ok := d.names[c.Request.Method+" "+c.FullPath()]
	if !ok {
		operation = "none"
	}
	span := d.trace(c, operation)
	defer span.End()
	d.guard(c, v, operation)
	status := c.Writer.Status()
	span.Count(tracing.Status, int64(status))
	if status >= http.StatusInternalServerError {
		span.Broke(http.StatusText(status))
	}
	d.meters.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	d.meters.seconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
	d.record(c, v, status, began)
	if errors.Is(v.failure, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the answer is incomplete, and only a broken connection can say so
	}
}

// trace begins the span of a request, within the trace of its caller. What asks all the time how the service is has none.
func (d *Door) trace(c *gin.Context, operation string) (s tracing.Span) {
	if !d.Tracer.On() || slices.Contains([]string{"health", "ready", "metrics"}, operation) {
		return s
	}
	route := c.FullPath() // with names for what is in it, and so without ids of users; "" when there is nothing
	ctx, s := d.Tracer.Receive(c.Request.Context(), strings.TrimSpace(c.Request.Method+" "+route), c.Request.Header)
	s.Set(tracing.Method, c.Request.Method)
	s.Set(tracing.Route, route)
	s.Set(tracing.Operation, operation)
	c.Request = c.Request.WithContext(ctx)
	return s
}

// guard serves the request. A panic becomes an answer.
func (d *Door) guard(c *gin.Context, v *visit, operation string) {
	defer func() {
		p := recover()
		err, _ := p.(error)
		switch {
		case p == nil:
		case errors.Is(err, http.ErrAbortHandler):
			v.failure = errors.Join(v.failure, http.ErrAbortHandler)
		case v.lost != nil: // who cannot write an answer may panic, but it is the client who does not read it
			v.failure = errors.Join(v.lost, http.ErrAbortHandler)
		default:
			d.Net.Caught("rest "+operation, p)
			v.failure = rescue.ErrPanic
			if c.Writer.Written() {
				v.failure = errors.Join(v.failure, http.ErrAbortHandler)
				return
			}
			refuse(c, newProblem(http.StatusInternalServerError, "internal", "something went wrong"))
		}
	}()
	c.Next()
}

// record writes the one line that a request leaves in the log.
func (d *Door) record(c *gin.Context, v *visit, status int, began time.Time) {
	level := slog.LevelDebug
	probe := c.Request.URL.Path == "/readyz"                                                    // asked every few seconds, and allowed to say no
	if status >= http.StatusInternalServerError && !probe && c.Request.Context().Err() == nil { // who has gone may well have caused it
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method), slog.String("path", c.Request.URL.Path), slog.Int("status", status),
		slog.Duration("took", time.Since(began)), slog.String("caller", v.caller.Name), slog.String("address", v.address),
	}
	if v.failure != nil {
		attrs = append(attrs, slog.Any("error", v.failure))
	}
	d.Log.LogAttrs(c.Request.Context(), level, "request", attrs...)
}

// hardening are headers of every answer. Whoever opens one in a browser sees text: it runs nothing, is in no frame, and is no
// part of another page.
var hardening = map[string]string{
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"X-Frame-Options":              "DENY",
	"Content-Security-Policy":      "default-src 'none'; frame-ancestors 'none'",
	"Cross-Origin-Resource-Policy": "same-origin",
}

// admit keeps pages of strangers from using the API in the name of whoever looks at them.
func (d *Door) admit(c *gin.Context) {
	h := c.Writer.Header()
	for name, value := range hardening {
		h.Set(name, value)
	}
	if path := c.Request.URL.Path; path != tokensPath && !strings.HasPrefix(path, tokensPath+"/") {
		return
	}
	h.Set("Cache-Control", "no-store") // much of it is about people
	preflight := c.Request.Method == http.MethodOptions
	if !d.Origins.Allow(c.Request) {
		if preflight || c.Request.Method != http.MethodGet {
			refuse(c, newProblem(http.StatusForbidden, "forbidden_origin", "pages of this origin may not use the API"))
		}
		return
	}
	d.Origins.Answer(c.Writer, c.Request)
	if preflight {
		c.AbortWithStatus(http.StatusNoContent)
		return
	}
	if c.GetHeader("Origin") != "" {
		h.Set("Access-Control-Expose-Headers", "ETag, Idempotency-Replayed, Retry-After")
	}
}
