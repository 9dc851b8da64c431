package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"rollcall/internal/tracing"
)

const (
	answerMax = 64 << 10 // bytes read of an answer
	errorMax  = 255      // width of the column last_error, in characters
)

// outcome is what became of one attempt.
type outcome struct {
	ok         bool
	status     int // 0: no answer
	text       string
	took       time.Duration
	retryAfter time.Duration
	cut        bool // by the end of Run: says nothing about the endpoint
}

func (r outcome) label() string {
	switch {
	case r.ok:
		return "sent"
	case refusal(r.status):
		return "refused"
	}
	return "failed"
}

// clientOf returns a client that follows no redirects: to whom else something may be told is not the endpoint's to say.
func clientOf(given *http.Client) *http.Client {
	c := http.Client{}
	if given != nil {
		c = *given
	} else if usual, ok := http.DefaultTransport.(*http.Transport); ok {
		t := usual.Clone()
		t.MaxIdleConnsPerHost = lanesAtOnce
		c.Transport = t
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// attempt sends an event once, within the time it has until.
func (o *Outbox) attempt(ctx context.Context, e *endpoint, row *outboxRow, until time.Time) outcome {
	started := time.Now()
	limited, cancel := context.WithDeadline(ctx, earlier(started.Add(o.pace.attempt), until))
	defer cancel()
	r := outcome{text: "a bug in rollcall, which its log tells of"} // what is sent again and again is given up one day
	o.net.Call("send a webhook", func() { r = o.post(limited, e, row) })
	r.took = time.Since(started)
	r.cut = !r.ok && ctx.Err() != nil
	if !r.ok && r.status == 0 && limited.Err() != nil {
		r.text = fmt.Sprintf("no answer within %v", o.pace.attempt)
	}
	r.text = clip(e.hide.Replace(r.text), errorMax)
	if !r.cut {
		o.metrics.attempts.WithLabelValues(r.label()).Inc()
	}
	return r
}

func (o *Outbox) post(ctx context.Context, e *endpoint, row *outboxRow) (r outcome) {
	req, err := request(ctx, e, row)
	if err != nil {
		return outcome{text: err.Error()}
	}
	ctx, span := o.tracer.Call(ctx, "deliver webhook", req.Header)
	defer func() { finish(span, req, row, r); span.End() }()
	resp, err := o.client.Do(req.WithContext(ctx))
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a token
		}
		return outcome{text: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	// Reading to the end is what lets the connection be used again. The status alone decides, whatever becomes of the body.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	r = outcome{status: resp.StatusCode, ok: resp.StatusCode >= 200 && resp.StatusCode < 300}
	if r.ok {
		return r
	}
	r.retryAfter = retryAfter(resp.StatusCode, resp.Header, time.Now())
	r.text = fmt.Sprintf("status %d", resp.StatusCode)
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		r.text += ", redirects are not followed"
	} else if len(body) > 0 {
		r.text += ": " + string(body)
	}
	return r
}

// finish says in a span what became of an attempt. Of the URL there is only the host, as the rest may hold a token.
func finish(span tracing.Span, req *http.Request, row *outboxRow, r outcome) {
	span.Set(tracing.Event, row.Type)
	span.Set(tracing.Conference, row.ConferenceID)
	span.Set(tracing.Host, req.URL.Hostname())
	span.Set(tracing.Outcome, r.label())
	span.Count(tracing.Attempt, int64(row.Attempts)+1)
	if r.status != 0 {
		span.Count(tracing.Status, int64(r.status))
	}
	if !r.ok {
		span.Broke(r.label())
	}
}

func request(ctx context.Context, e *endpoint, row *outboxRow) (*http.Request, error) {
	body := []byte(row.Body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL of the endpoint cannot be asked") // the cause repeats it
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rollcall")
	req.Header.Set(standardwebhooks.HeaderWebhookID, row.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if e.sign == nil {
		return req, nil
	}
	signature, err := e.sign.Sign(row.ID, now, body)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return req, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
