package tracing

import (
	"context"
	"errors"
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"rollcall/internal/fault"
)

// Where there is no tracing it costs nothing: not one allocation, whatever is called.
func TestOffCostsNothing(t *testing.T) {
	var off *Tracer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failure := errors.New("x")
	header := http.Header{}
	if n := testing.AllocsPerRun(100, func() {
		c, outer := off.Receive(ctx, "PATCH /tree", header)
		cause := CauseOf(c)
		c, middle := off.Follow(c, "show", nil)
		c, inner := off.Start(c, "push")
		_, call := off.Call(c, "deliver", header)
		inner.Set(Conference, "42")
		inner.Count(Audience, 3)
		inner.Note("answered")
		middle.Fail(failure)
		outer.Broke("failed")
		for _, s := range []Span{call, inner, middle, outer} {
			s.End()
		}
		if off.On() || cause.Known() || c != ctx {
			t.Error("something is on")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := off.Stop(ctx); err != nil || len(header) != 0 {
		t.Errorf("stop: %v, header %v", err, header)
	}
}

// What is done for several is within the first of them and linked to the others.
func TestFollow(t *testing.T) {
	tracer, ended := recorded()
	var causes []Cause
	for range 3 {
		ctx, s := tracer.Start(t.Context(), "cause")
		causes = append(causes, CauseOf(ctx))
		s.End()
	}
	_, s := tracer.Follow(t.Context(), "for three", causes)
	s.End()
	_, s = tracer.Follow(t.Context(), "for nobody", nil)
	s.End()
	spans := ended()
	three, nobody := spans[3], spans[4]
	if three.Parent().SpanID() != spans[0].SpanContext().SpanID() || len(three.Links()) != 2 || three.Links()[1].SpanContext.SpanID() != spans[2].SpanContext().SpanID() {
		t.Errorf("parent %v, links %v", three.Parent(), three.Links())
	}
	if nobody.Parent().IsValid() || len(nobody.Links()) != 0 {
		t.Errorf("for nobody: parent %v, links %v", nobody.Parent(), nobody.Links())
	}
}

// A trace goes from one process to another in the headers, as far as they are what the standard says, and brings no baggage.
func TestHeaders(t *testing.T) {
	tracer, ended := recorded()
	h := http.Header{"Baggage": {"user=anna"}}
	_, call := tracer.Call(t.Context(), "call", h)
	_, request := tracer.Receive(t.Context(), "request", h)
	_, broken := tracer.Receive(t.Context(), "broken", http.Header{"Traceparent": {"00-nonsense"}})
	for _, s := range []Span{broken, request, call} {
		s.End()
	}
	spans := ended()
	if spans[1].Parent().SpanID() != spans[2].SpanContext().SpanID() || !spans[1].Parent().IsRemote() {
		t.Errorf("the request is within %v", spans[1].Parent())
	}
	if spans[0].Parent().IsValid() {
		t.Errorf("nonsense has led to %v", spans[0].Parent())
	}
}

// Of an error there is its code, and not its text.
func TestFail(t *testing.T) {
	tracer, ended := recorded()
	_, s := tracer.Start(t.Context(), "x")
	s.Fail(nil)
	s.End()
	_, s = tracer.Start(t.Context(), "y")
	s.Fail(fault.Away(errors.New("dial 10.0.0.1")))
	s.End()
	spans := ended()
	if got := spans[0].Status().Description; got != "" {
		t.Errorf("nothing failed, and it says %q", got)
	}
	if got := spans[1].Status().Description; got != "unavailable" {
		t.Errorf("it says %q", got)
	}
}

// recorded returns a tracer and what has ended so far.
func recorded() (t *Tracer, ended func() []sdktrace.ReadOnlySpan) {
	r := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r))
	return &Tracer{provider: p, tracer: p.Tracer("test")}, r.Ended
}
