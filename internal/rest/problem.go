package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"rollcall/internal/fault"
)

const problemType = "application/problem+json"

// retryAfter, in seconds, comes with every 429 and 503 of which nobody knows better.
const retryAfter = "2"

// statuses translates kinds of faults.
var statuses = map[fault.Kind]int{
	fault.Internal:     http.StatusInternalServerError,
	fault.Invalid:      http.StatusUnprocessableEntity,
	fault.TooLarge:     http.StatusRequestEntityTooLarge,
	fault.Unauthorized: http.StatusUnauthorized,
	fault.Forbidden:    http.StatusForbidden,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.Precondition: http.StatusPreconditionFailed,
	fault.RateLimited:  http.StatusTooManyRequests,
	fault.Unavailable:  http.StatusServiceUnavailable,
}

// codes are those of problems that huma finds, by status.
var codes = map[int]string{
	http.StatusBadRequest:            "bad_json",
	http.StatusRequestTimeout:        "request_timeout",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "bad_payload",
}

// problem is an RFC 9457 document, and the error that becomes one.
type problem struct {
	Type   string    `json:"type,omitempty" doc:"A URI that names the kind of problem; left out means about:blank"`
	Title  string    `json:"title" doc:"The status in words"`
	Status int       `json:"status"`
	Detail string    `json:"detail" doc:"What is wrong, for people"`
	Code   string    `json:"code" doc:"What is wrong, for programs; stable" example:"bad_payload"`
	Errors []mistake `json:"errors,omitempty" nullable:"false" doc:"Each mistake in the request"`

	after time.Duration // Retry-After, in whole seconds; 0 is retryAfter
}

// mistake is one of several things that are wrong with a request. The value is not repeated: it may be large.
type mistake struct {
	Location string `json:"location,omitempty" example:"body.members[3].role"`
	Message  string `json:"message"`
}

func newProblem(status int, code, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="rollcall"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", retryAfter)
		if p.after > 0 {
			h.Set("Retry-After", strconv.Itoa(int(p.after/time.Second)))
		}
	}
	return h
}

// problemOf returns what is told of err.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	f := fault.Of(err)
	return newProblem(statuses[f.Kind], f.Code, f.Message)
}

// asProblem is a huma.Transformer: what huma finds wrong with a request becomes a problem of ours.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code, known := codes[model.Status]
	if !known {
		code = "internal"
	}
	p := newProblem(model.Status, code, model.Detail)
	for _, e := range model.Errors {
		p.Errors = append(p.Errors, mistake{e.Location, e.Message})
	}
	return p, nil
}

// refuse answers with a problem and ends the request.
func refuse(c *gin.Context, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // cannot be: plain text and numbers
	}
	h := c.Writer.Header()
	for _, name := range []string{"Content-Type", "Content-Disposition", "ETag"} { // of the answer that it is no more
		h.Del(name)
	}
	for name, values := range p.GetHeaders() {
		h[name] = values
	}
	c.Data(p.Status, problemType, body)
	c.Abort()
}
