package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// rollcall is a server and the API key by which it knows us.
type rollcall struct{ url, key string }

// patchTree changes the sections that are given, and in them only what is given.
func (r rollcall) patchTree(ctx context.Context, conference string, sections []byte) ([]byte, error) {
	return r.send(ctx, http.MethodPatch, "/conferences/"+url.PathEscape(conference)+"/tree", sections, http.Header{})
}

// notify says something to people. Take the key from what makes the backend say it: the same key is the same notice.
func (r rollcall) notify(ctx context.Context, key string, notice []byte) ([]byte, error) {
	return r.send(ctx, http.MethodPost, "/notices", notice, http.Header{"Idempotency-Key": {key}})
}

// problem is what rollcall says is wrong, as application/problem+json.
type problem struct {
	Status int    `json:"status"` // 0: there was no answer
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct{ Location, Message string }
	after  time.Duration // how long to wait before trying again
}

func (p *problem) Error() string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s: %s", e.Location, e.Message)
	}
	return text
}

// passes reports whether the same request may succeed later.
func (p *problem) passes() bool {
	return p.Status == 0 || p.Status == http.StatusTooManyRequests || p.Status >= 500 ||
		p.Code == "idempotency_in_flight" // an earlier attempt is still being worked on
}

// send returns the answer, or a *problem. What rollcall has no time for now (429, 503), or what was not answered by it, is sent again, after as many
// seconds as Retry-After says. That is safe for both calls above: a merge patch may be applied twice, and a notice with the
// same Idempotency-Key goes out once.
func (r rollcall) send(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		answer, err := r.try(ctx, method, path, body, header)
		p, ok := errors.AsType[*problem](err)
		if err == nil || !ok || !p.passes() || attempt == 5 {
			return answer, err
		}
		fmt.Fprintf(os.Stderr, "%d, again in %v\n", p.Status, p.after)
		select {
		case <-time.After(p.after):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (r rollcall) try(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &problem{Code: "no answer", Detail: err.Error(), after: time.Second}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &problem{Code: "no answer", Detail: err.Error(), after: time.Second}
	}
	if resp.StatusCode < 300 {
		return answer, nil
	}
	p := &problem{after: time.Second}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		p.after = time.Duration(seconds) * time.Second
	}
	if json.Unmarshal(answer, p) != nil { // a proxy's answer, perhaps
		p.Detail = string(answer)
	}
	p.Status = resp.StatusCode
	return nil, p
}
