package system_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"rollcall/internal/clienttest"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// otlp is a collector of traces, as far as rollcall knows one. When it is stuck it answers only when the test ends.
type otlp struct {
	*httptest.Server
	t     *testing.T
	stuck chan struct{} // nil: it answers at once

	mu    sync.Mutex // guards the rest
	spans []*traces.Span
	raw   bytes.Buffer // all that came
}

func newOTLP(t *testing.T) *otlp {
	t.Helper()
	o := &otlp{t: t}
	o.Server = httptest.NewServer(http.HandlerFunc(o.take))
	t.Cleanup(o.Close)
	return o
}

func (o *otlp) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		o.t.Errorf("%s of %s: %v", r.URL.Path, r.Header.Get("Content-Type"), err)
	}
	o.mu.Lock()
	o.raw.Write(body)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			o.spans = append(o.spans, scope.GetSpans()...)
		}
	}
	o.mu.Unlock()
	if o.stuck != nil {
		<-o.stuck
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// all returns the spans of a name so far.
func (o *otlp) all(name string) (found []*traces.Span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// within waits for a span of a name within another one.
func (o *otlp) within(name string, trace, parent []byte) (found *traces.Span) {
	o.t.Helper()
	storetest.Eventually(o.t, func() bool {
		for _, s := range o.all(name) {
			if bytes.Equal(s.GetTraceId(), trace) && bytes.Equal(s.GetParentSpanId(), parent) {
				found = s
				return true
			}
		}
		return false
	}, "there is no span "+name+" where it belongs")
	return found
}

// has reports whether a span has an attribute.
func has(s *traces.Span, name, value string) bool {
	for _, a := range s.GetAttributes() {
		if v := a.GetValue(); a.GetKey() == name && (v.GetStringValue() == value || fmt.Sprint(v.GetIntValue()) == value) {
			return true
		}
	}
	return false
}

const (
	outerTrace = "0af7651916cd43dd8448eb211c80319c"
	outerSpan  = "b7ad6b7169203331"
)

// Who changes a tree sees in his own trace how it was read again and pushed; arrivals, notices and webhooks have their spans, the
// backend gets the trace along with the event, and nothing that people wrote or are called is in any of them.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	o := newOTLP(t)
	heard := make(chan string, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header.Get("Traceparent") }))
	defer backend.Close()
	s := launch(t, store.SQLite, settings{"tracing.endpoint": o.URL})
	s.tells(backend.URL+"/pr1vate-path", "presence.online")
	client := clienttest.Start(t).Connect(t, clienttest.Options{URL: s.base, Query: map[string]string{"userId": "pr1vate-user", "userName": "pr1vate-name", "conferenceId": "42"}})
	client.Wait(t, "note_tree", nil)

	outer := []string{"Traceparent", "00-" + outerTrace + "-" + outerSpan + "-01", "User-Agent", "pr1vate-agent"}
	s.must("PATCH", "/api/v1/conferences/42/tree", `{"topicInfo":{"title":"pr1vate-title"}}`, nil, outer...)
	client.Wait(t, "note_tree", says("pr1vate-title"))
	trace, span := unhex(t, outerTrace), unhex(t, outerSpan)
	patch := o.within("PATCH /api/v1/conferences/:id/tree", trace, span)
	if patch.GetKind() != traces.Span_SPAN_KIND_SERVER || !has(patch, "http.response.status_code", "200") || !has(patch, "rollcall.operation", "patch-tree") {
		t.Errorf("the request: %v", patch)
	}
	show := o.within("show conference", trace, patch.GetSpanId())
	if !has(show, "rollcall.conference.id", "42") {
		t.Errorf("what it has caused: %v", show)
	}
	o.within("rebuild", trace, show.GetSpanId())
	if push := o.within("push", trace, show.GetSpanId()); !has(push, "rollcall.audience", "1") {
		t.Errorf("the push: %v", push)
	}

	s.must("POST", "/api/v1/notices", `{"to":{"users":["pr1vate-user"]},"title":"pr1vate-notice","body":"pr1vate-body"}`, nil, outer...)
	post := o.within("POST /api/v1/notices", trace, span)
	o.within("send notice", trace, post.GetSpanId())

	arrival := o.all("arrive")
	if len(arrival) != 1 || len(arrival[0].GetEvents()) != 1 || arrival[0].GetEvents()[0].GetName() != "answered" {
		t.Fatalf("arrivals: %v", arrival)
	}
	o.within("commit", arrival[0].GetTraceId(), arrival[0].GetSpanId())

	traceparent := strings.Split(<-heard, "-")
	if len(traceparent) != 4 {
		t.Fatalf("the backend got %v", traceparent)
	}
	delivery := o.within("deliver webhook", unhex(t, traceparent[1]), nil)
	if !bytes.Equal(delivery.GetSpanId(), unhex(t, traceparent[2])) || !has(delivery, "rollcall.outcome", "sent") {
		t.Errorf("the backend got %v for %v", traceparent, delivery)
	}

	s.call("GET", "/api/v1/users/pr1vate-user/inbox", nil, nil, outer...)
	s.call("GET", "/pr1vate-nowhere", nil, nil, outer...)
	o.within("GET", trace, span)
	o.within("GET /api/v1/users/:id/inbox", trace, span)
	s.call("GET", "/healthz", nil, nil, outer...)
	s.stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := bytes.Index(o.raw.Bytes(), []byte("pr1vate")); i >= 0 {
		t.Errorf("among the traces is %q", o.raw.Bytes()[max(0, i-60):i+20])
	}
	if slices.ContainsFunc(o.spans, func(s *traces.Span) bool { return strings.Contains(s.GetName(), "health") }) {
		t.Error("probes are traced")
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What has ended when the service stops is delivered before it does, however long it would have waited.
func TestTracesAtTheEnd(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	o := newOTLP(t)
	s := launch(t, store.SQLite, settings{"tracing.endpoint": o.URL + "/v1/traces"})
	s.must("PUT", "/api/v1/users/7", `{"name":"Anna"}`, nil)
	if n := len(o.all("PUT /api/v1/users/:id")); n != 0 {
		t.Fatalf("%d spans came too early", n)
	}
	s.stop()
	if n := len(o.all("PUT /api/v1/users/:id")); n != 1 {
		t.Errorf("%d spans came", n)
	}
}

// Without its collector the service works, says so once, and stops in time; the same with one that takes everything and never answers.
func TestTracesNobodyTakes(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	stuck := newOTLP(t)
	stuck.stuck = make(chan struct{})
	defer close(stuck.stuck)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, url := range map[string]string{"away": gone.URL, "stuck": stuck.URL} {
		t.Run(name, func(t *testing.T) {
			s := launch(t, store.SQLite, settings{"tracing.endpoint": url})
			const complaint = "traces cannot be delivered"
			s.must("PUT", "/api/v1/users/1", `{"name":"Anna"}`, nil)
			if name == "away" {
				storetest.Eventually(t, func() bool { return strings.Contains(s.logged(), complaint) }, "it does not complain")
			}
			for i := range 200 {
				s.must("PUT", fmt.Sprintf("/api/v1/users/%d", i), `{"name":"Anna"}`, nil)
			}
			s.stop()
			if n := strings.Count(s.logged(), complaint); name == "away" && n != 1 || n > 1 {
				t.Errorf("it complained %d times", n)
			}
		})
	}
}
