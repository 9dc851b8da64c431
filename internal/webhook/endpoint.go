package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	secretPrefix = "whsec_"
	shownLength  = 2048 // width of the column url, in characters
)

// endpoint is an Endpoint made ready.
type endpoint struct {
	index int    // in the configuration, for the log
	key   string // names it in the tables
	url   string
	shown string // url without what may be a secret in it
	sign  *standardwebhooks.Webhook
	types []string // nil: all
	plain bool
	hide  *strings.Replacer // takes secrets out of texts

	failing atomic.Bool // as last logged
}

func newEndpoint(e Endpoint) (*endpoint, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("expected an http or https URL with a host")
	}
	made := &endpoint{url: e.URL, key: keyOf(e), shown: shownURL(*u), types: e.Events, plain: e.Plain, hide: strings.NewReplacer(secretsOf(u, e.Secret)...)}
	if len(e.Events) == 0 || slices.Contains(e.Events, "*") {
		made.types = nil
	}
	if e.Secret == "" {
		return made, nil
	}
	raw, ok := strings.CutPrefix(e.Secret, secretPrefix)
	if key, err := base64.StdEncoding.DecodeString(raw); !ok || err != nil || len(key) == 0 {
		return nil, errors.New("expected a secret of whsec_ followed by base64")
	}
	if made.sign, err = standardwebhooks.NewWebhook(e.Secret); err != nil {
		return nil, errors.New("the secret is not one of Standard Webhooks") // the cause may repeat it
	}
	return made, nil
}

// keyOf is a digest because a URL is too long for a key. The same URL may be told in the old way too.
func keyOf(e Endpoint) string {
	text := e.URL
	if e.Plain {
		text = "plain " + text
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// shownURL leaves out the user, the query and the fragment, where tokens are put.
func shownURL(u url.URL) string {
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return clip(u.String(), shownLength)
}

// secretsOf returns what must never be shown, each followed by what stands in its place.
func secretsOf(u *url.URL, secret string) []string {
	password, _ := u.User.Password()
	found := []string{secret, strings.TrimPrefix(secret, secretPrefix), password, u.RawQuery}
	if u.User != nil {
		found = append(found, base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, values := range u.Query() {
		found = append(found, values...)
	}
	var pairs []string
	for _, s := range found {
		if len(s) >= 4 { // shorter ones would tear holes into every text
			pairs = append(pairs, s, "***")
		}
	}
	return pairs
}

// wants reports whether the endpoint is told of the event.
func (e *endpoint) wants(event Event) bool {
	return (!e.plain || event.Plain != nil) && (e.types == nil || slices.Contains(e.types, event.Type))
}
