package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	callTimeout = 3 * time.Second // of a whole call: somebody waits at the door meanwhile
	callsAtOnce = 16              // so that a crowd at the door is no flood there; the others wait within callTimeout
	redirects   = 3
)

// remote is somebody outside who is asked about tokens. Safe for concurrent use.
type remote struct {
	client  *http.Client
	url     string        // without what is in user
	user    *url.Userinfo // nil if the URL named none
	timeout time.Duration
}

// newRemote takes user and password out of the address, so that no error can repeat them.
func newRemote(address string) (*remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("is no URL with a host") // the error of Parse would repeat it
	}
	r := &remote{user: u.User, timeout: callTimeout}
	u.User = nil
	r.url = u.String()
	t := &http.Transport{}
	if usual, ok := http.DefaultTransport.(*http.Transport); ok {
		t = usual.Clone()
	}
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = callsAtOnce, callsAtOnce
	t.MaxResponseHeaderBytes = 64 << 10
	t.IdleConnTimeout = 30 * time.Second
	r.client = &http.Client{Transport: t, CheckRedirect: stay}
	return r, nil
}

// stay follows a redirect within a host, and none that would carry a token on.
func stay(next *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || len(via) > redirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// get asks for what is at the URL, at most so many bytes.
func (r *remote) get(ctx context.Context, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, bare(err)
	}
	return r.do(req, most)
}

// do sends a request and returns what is answered with status 200. Its errors hold no part of the URL but the host.
func (r *remote) do(req *http.Request, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(req.Context(), r.timeout)
	defer cancel()
	if r.user != nil {
		password, _ := r.user.Password()
		req.SetBasicAuth(r.user.Username(), password)
	}
	req.Header.Set("User-Agent", "rollcall")
	res, err := r.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, bare(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", req.URL.Host, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("%s answers with more than %d bytes", req.URL.Host, most)
	}
	return body, nil
}

// bare takes the URL, whose query may hold a secret, off an error of net/http.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
