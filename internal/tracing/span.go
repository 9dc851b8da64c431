package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"rollcall/internal/fault"
)

// Names of attributes. Values are ids of conferences and notices, names of operations, numbers: nothing that people wrote, nobody's
// name or address, no token, and no text of an error.
const (
	Conference = "rollcall.conference.id"
	Notice     = "rollcall.notice.id"
	Operation  = "rollcall.operation"
	Kind       = "rollcall.kind"
	Outcome    = "rollcall.outcome"
	Version    = "rollcall.tree.version"
	Audience   = "rollcall.audience"
	Attempt    = "rollcall.webhook.attempt"
	Event      = "rollcall.webhook.type"
	Method     = "http.request.method"
	Route      = "http.route"
	Status     = "http.response.status_code"
	Host       = "server.address"
)

// Span is something that takes time. The zero value is none, and its methods then do nothing. It belongs to who has begun it.
type Span struct{ span trace.Span }

// End says that it is over.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Set adds an attribute.
func (s Span) Set(name, value string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(name, value))
	}
}

// Count adds an attribute that is a number.
func (s Span) Count(name string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(name, value))
	}
}

// Note adds a moment within it.
func (s Span) Note(what string) {
	if s.span != nil {
		s.span.AddEvent(what)
	}
}

// Fail says that it has failed, with the code of the fault; nil changes nothing. The text of an error stays in the log.
func (s Span) Fail(err error) {
	if s.span != nil && err != nil {
		s.span.SetStatus(codes.Error, fault.Of(err).Code)
	}
}

// Broke is Fail for what is no fault of ours, such as a status.
func (s Span) Broke(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}
