package tracing

import (
	"context"
	"log/slog"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// exporter tells the log when the collector goes and when it comes back, and nothing in between.
type exporter struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	away bool // the batch processor calls ExportSpans in one goroutine
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.away:
		e.log.Warn("traces cannot be delivered, they are dropped until they can", slog.Any("error", err))
	case err == nil && e.away:
		e.log.Info("traces are delivered again")
	}
	e.away = err != nil
	return nil // or the library would say it again, each time
}
