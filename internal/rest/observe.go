package rest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Caller is who sends a request.
type Caller struct {
	Name string // of the API key; "anonymous" while none is needed
	Role string // viewer, backend or admin
}

// visit is one request on its way through the door. Only the goroutine that serves the request touches it.
type visit struct {
	caller  Caller
	address string
	key     *key  // nil without an Idempotency-Key
	failure error // for the log
}

type visitKey struct{}

// visitOf returns the visit that observe began.
func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

type meters struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newMeters(r prometheus.Registerer) meters {
	reg := promauto.With(r)
	return meters{
		requests: reg.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_http_requests_total", Help: "Requests answered, by operation and status."}, []string{"operation", "status"}),
		seconds:  reg.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_http_request_seconds", Help: "Time to answer a request, by operation.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"operation"}),
		panics:   reg.NewCounter(prometheus.CounterOpts{Name: "rollcall_http_panics_total", Help: "Requests that a bug ended."}),
	}
}

// observe begins the visit, and counts and logs how it ends.
func (d *Door) observe(c *gin.Context) {
	began := time.Now()
	v := &visit{caller: identify(c.Request), address: d.Proxies.Address(c.Request)}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), visitKey{}, v))
	operation, ok := d.names[c.Request.Method+" "+c.FullPath()]
	if !ok {
		operation = "none"
	}
	stack := d.guard(c, v)
	status := c.Writer.Status()
	d.meters.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	d.meters.seconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
	d.record(c, v, status, began, stack)
	if errors.Is(v.failure, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // the answer is incomplete, and only a broken connection can say so
	}
}

// identify says who sends r. Everybody may do everything until callers can be told apart.
func identify(*http.Request) Caller { return Caller{Name: "anonymous", Role: "admin"} }

// guard serves the request. A panic becomes an answer, and its stack is returned.
func (d *Door) guard(c *gin.Context, v *visit) (stack []byte) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			v.failure = http.ErrAbortHandler
			return
		}
		stack = debug.Stack()
		d.meters.panics.Inc()
		v.failure = &panicked{p}
		if c.Writer.Written() {
			v.failure = errors.Join(v.failure, http.ErrAbortHandler)
			return
		}
		refuse(c, newProblem(http.StatusInternalServerError, "internal", "something went wrong"))
	}()
	c.Next()
	return nil
}

// record writes the one line that a request leaves in the log.
func (d *Door) record(c *gin.Context, v *visit, status int, began time.Time, stack []byte) {
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
	if stack != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("stack", string(stack)))
	}
	d.Log.LogAttrs(c.Request.Context(), level, "request", attrs...)
}

// panicked is a panic as an error.
type panicked struct{ value any }

// Error implements error.
func (p *panicked) Error() string { return "panic: " + slog.AnyValue(p.value).String() }

// admit keeps pages of strangers from using the API in the name of whoever looks at them.
func (d *Door) admit(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if path := c.Request.URL.Path; path != tokensPath && !strings.HasPrefix(path, tokensPath+"/") {
		return
	}
	h.Set("Cache-Control", "no-cache")
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
