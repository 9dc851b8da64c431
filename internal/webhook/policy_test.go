package webhook

import (
	"net/http"
	"testing"
	"time"
)

// The pause doubles from its base to an hour, each within a tenth; an endpoint that asks for more gets it, up to an hour.
func TestBackoff(t *testing.T) {
	p := usualPolicy(5 * time.Second)
	for _, c := range []struct {
		name     string
		f        failure
		from, to time.Duration
		gaveUp   bool
	}{
		{name: "first", f: failure{attempts: 1, status: 500}, from: 4500 * time.Millisecond, to: 5500 * time.Millisecond},
		{name: "second", f: failure{attempts: 2}, from: 9 * time.Second, to: 11 * time.Second},
		{name: "fifth", f: failure{attempts: 5, status: 302}, from: 72 * time.Second, to: 88 * time.Second},
		{name: "at most an hour", f: failure{attempts: 11, status: 500, since: time.Hour}, from: 54 * time.Minute, to: 66 * time.Minute},
		{name: "no overflow", f: failure{attempts: 1 << 20, status: 500, since: time.Hour}, from: 54 * time.Minute, to: 66 * time.Minute},
		{name: "asked for more", f: failure{attempts: 1, status: 503, retryAfter: time.Minute}, from: time.Minute, to: time.Minute},
		{name: "asked for less", f: failure{attempts: 5, status: 503, retryAfter: time.Second}, from: 72 * time.Second, to: 88 * time.Second},
		{name: "asked for days", f: failure{attempts: 1, status: 429, retryAfter: 48 * time.Hour}, from: time.Hour, to: time.Hour},
		{name: "the last falls at the limit", f: failure{attempts: 40, status: 500, since: 24*time.Hour - 7*time.Second}, from: 7 * time.Second, to: 7 * time.Second},
		{name: "a day is over", f: failure{attempts: 40, status: 500, since: 24 * time.Hour}, gaveUp: true},
		{name: "refused the first time", f: failure{attempts: 1, status: 400}, from: 4500 * time.Millisecond, to: 5500 * time.Millisecond},
		{name: "refused, the last falls at the limit", f: failure{attempts: 7, status: 400, before: 400, since: 9 * time.Minute}, from: time.Minute, to: time.Minute},
		{name: "refused for ten minutes", f: failure{attempts: 8, status: 410, before: 404, since: 10 * time.Minute}, gaveUp: true},
		{name: "one stray 404 after an outage", f: failure{attempts: 12, status: 404, before: 502, since: 3 * time.Hour}, from: 10 * time.Minute, to: 10 * time.Minute},
		{name: "refused after an outage and a day", f: failure{attempts: 40, status: 404, before: 502, since: 24 * time.Hour}, gaveUp: true},
		{name: "an outage after a refusal", f: failure{attempts: 8, status: 502, before: 404, since: 10 * time.Minute}, from: 9 * time.Minute, to: 12 * time.Minute},
		{name: "too many requests is no refusal", f: failure{attempts: 8, status: 429, before: 429, since: 11 * time.Minute}, from: 9 * time.Minute, to: 12 * time.Minute},
		{name: "neither is a timeout", f: failure{attempts: 8, status: 408, before: 408, since: 11 * time.Minute}, from: 9 * time.Minute, to: 12 * time.Minute},
		{name: "nor too early", f: failure{attempts: 8, status: 425, before: 425, since: 11 * time.Minute}, from: 9 * time.Minute, to: 12 * time.Minute},
	} {
		for range 100 {
			got, again := p.next(c.f)
			if again == c.gaveUp || again && (got < c.from || got > c.to) {
				t.Errorf("%s: pause %v, again %v", c.name, got, again)
				break
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status int
		text   string
		want   time.Duration
	}{
		{503, "120", 2 * time.Minute}, {429, "0", 0}, {503, "", 0}, {503, "-5", 0}, {503, "soon", 0}, {500, "120", 0},
		{503, "99999999999999999999", 0}, {429, "4294967295", 4294967295 * time.Second},
		{503, now.Add(time.Hour).Format(http.TimeFormat), time.Hour}, {503, now.Add(-time.Hour).Format(http.TimeFormat), 0},
	} {
		if got := retryAfter(c.status, http.Header{"Retry-After": {c.text}}, now); got != c.want {
			t.Errorf("%d %q: %v, want %v", c.status, c.text, got, c.want)
		}
	}
}

// A lease is never mistaken for a pause.
func TestLeaseOrPause(t *testing.T) {
	for ms := int64(1000); ms < 1010; ms++ {
		if f, l := free(ms), leased(ms); f%2 != 0 || l%2 != 1 || f < ms || l < ms || f > ms+1 || l > ms+1 {
			t.Errorf("%d: pause until %d, lease until %d", ms, f, l)
		}
	}
}
