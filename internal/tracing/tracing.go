// Package tracing makes spans of what the service does and sends them to an OpenTelemetry collector. A nil *Tracer makes none, and
// costs nothing.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// deliverTimeout bounds one delivery of spans to the collector.
const deliverTimeout = 5 * time.Second

// Config is what a Tracer needs.
type Config struct {
	Endpoint string // http(s) URL of an OTLP collector; without a path it is /v1/traces there
	Node     string // name of this process
	Version  string // of the program
	Log      *slog.Logger
}

// Tracer makes spans. Its methods are safe for concurrent use, and do nothing if it is nil.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns a Tracer. It does not try to reach the collector. Variables of OpenTelemetry are
// honoured: OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS and their like.
func New(ctx context.Context, c Config) (*Tracer, error) {
	to, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("read the endpoint of traces: %w", err)
	}
	if strings.Trim(to.Path, "/") == "" {
		to.Path = "/v1/traces"
	}
	out, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.String()), otlptracehttp.WithTimeout(deliverTimeout),
		// What cannot be delivered is dropped: memory is for those who are here.
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
	if err != nil {
		return nil, fmt.Errorf("make an exporter of traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "rollcall"), attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.Node)), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("read the resource attributes of traces: %w", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&exporter{SpanExporter: out, log: c.Log}), sdktrace.WithResource(about))
	return &Tracer{provider: p, tracer: p.Tracer("rollcall")}, nil
}

// Stop delivers the spans that have ended, within the time of ctx, and makes no more.
func (t *Tracer) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// On reports whether spans are made at all, for callers who would have to prepare something.
func (t *Tracer) On() bool { return t != nil }

// Start begins a span within that of ctx, or a trace of its own. The caller ends it.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(ctx, name)
	return ctx, Span{s}
}

// Receive begins the span of a request, within that of its caller if the headers name one.
func (t *Tracer) Receive(ctx context.Context, name string, h http.Header) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(wire.Extract(ctx, propagation.HeaderCarrier(h)), name, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, Span{s}
}

// Call begins the span of a request to somebody else, and writes it into the headers.
func (t *Tracer) Call(ctx context.Context, name string, h http.Header) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, s := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	wire.Inject(ctx, propagation.HeaderCarrier(h))
	return ctx, Span{s}
}

// wire is W3C trace context, without baggage: what callers put there is nobody's business here.
var wire = propagation.TraceContext{}

// Cause is a span that something is done for later. The zero value is none.
type Cause struct{ context trace.SpanContext }

// CauseOf returns the span of ctx.
func CauseOf(ctx context.Context) Cause { return Cause{trace.SpanContextFromContext(ctx)} }

// Known reports whether it is a span.
func (c Cause) Known() bool { return c.context.IsValid() }

// Follow begins a span of what is done for several causes at once: within the first of them, and linked to the others.
func (t *Tracer) Follow(ctx context.Context, name string, causes []Cause) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	var links []trace.Link
	for i, c := range causes {
		if i == 0 {
			ctx = trace.ContextWithSpanContext(ctx, c.context)
		} else {
			links = append(links, trace.Link{SpanContext: c.context})
		}
	}
	ctx, s := t.tracer.Start(ctx, name, trace.WithLinks(links...))
	return ctx, Span{s}
}
