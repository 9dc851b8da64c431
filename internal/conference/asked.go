package conference

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"rollcall/internal/id"
	"rollcall/internal/rawjson"
)

const (
	// askTimeout is how long the backend may take to name members, and askMax how many bytes it may say.
	askTimeout = 2 * time.Second
	askMax     = 1 << 20
	// An answer is kept for knownFor, and that there was none for failedFor, so that a backend that is down is not
	// asked by everybody.
	knownFor  = 30 * time.Second
	failedFor = 5 * time.Second
	// maxKnown is how many answers are kept.
	maxKnown = 1000
)

// asked is what the backend said of members when it was asked over its own URL. Safe for concurrent use.
type asked struct {
	house    *House
	template string
	client   http.Client
	flights  singleflight.Group // by URL

	mu    sync.Mutex // guards known
	known map[string]reply
}

// reply is an answer of the backend, or why there is none, and until when it holds.
type reply struct {
	users []string
	err   error
	until time.Time
}

func newAsked(h *House) *asked {
	a := &asked{house: h, template: h.MembersURL, known: map[string]reply{}}
	if h.Client != nil {
		a.client = *h.Client
	}
	// Whoever may redirect us may have us call anything from within the operator's network.
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return a
}

// members returns the users whom the backend names. The list is shared and must not be changed.
func (a *asked) members(ctx context.Context, conferenceID, askedBy string) ([]string, error) {
	target := fillIn(a.template, conferenceID, askedBy)
	a.mu.Lock()
	r, ok := a.known[target]
	a.mu.Unlock()
	if ok && time.Now().Before(r.until) {
		return r.users, r.err
	}
	done := a.flights.DoChan(target, func() (any, error) {
		var users []string
		err := a.house.Net.Try("ask for members", func() (err error) { users, err = a.ask(target); return err })
		return users, err
	})
	select {
	case flown := <-done:
		users, _ := flown.Val.([]string)
		return users, flown.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("ask for members: %w", context.Cause(ctx))
	}
}

// keep remembers a reply. When there are too many it forgets those that are over, or else any.
func (a *asked) keep(target string, r reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxKnown {
		now := time.Now()
		for t, old := range a.known {
			if now.After(old.until) {
				delete(a.known, t)
			}
		}
		for t := range a.known {
			if len(a.known) < maxKnown {
				break
			}
			delete(a.known, t)
		}
	}
	a.known[target] = r
}

// ask asks the backend and remembers what it says. Others wait for the same answer, so it is bounded by the life of the
// house and not by theirs.
func (a *asked) ask(target string) ([]string, error) {
	ctx, cancel := context.WithTimeout(a.house.ctx, askTimeout)
	defer cancel()
	users, err := a.fetch(ctx, target)
	if a.house.ctx.Err() == nil {
		a.house.note("ask the backend for members", err)
	}
	until := time.Now().Add(knownFor)
	if err != nil {
		until = time.Now().Add(failedFor)
	}
	a.keep(target, reply{users, err, until})
	return users, err
}

func (a *asked) fetch(ctx context.Context, target string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, errors.New("meeting.members_url is not a URL")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "rollcall")
	response, err := a.client.Do(request)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a secret
		}
		return nil, fmt.Errorf("call meeting.members_url: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, askMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer of meeting.members_url: %w", err)
	case response.StatusCode/100 != 2:
		return nil, fmt.Errorf("meeting.members_url answers with status %d", response.StatusCode)
	case len(body) > askMax:
		return nil, fmt.Errorf("the answer of meeting.members_url has more than %d bytes", askMax)
	}
	return usersIn(body)
}

// usersIn reads a list of users: ids, or objects with one. What cannot be a user is left out.
func usersIn(body []byte) ([]string, error) {
	var list []json.RawMessage
	if rawjson.Check(body, maxDepth) != nil || json.Unmarshal(body, &list) != nil || list == nil {
		return nil, errors.New("the answer of meeting.members_url is not a JSON list")
	}
	seen := map[string]bool{}
	users := []string{}
	for _, text := range list {
		user := userIn(text)
		if id.Nobody(user) || id.Check(user) != nil || seen[user] {
			continue
		}
		if seen[user] = true; len(users) < maxMembers {
			users = append(users, user)
		}
	}
	return users, nil
}

func userIn(text json.RawMessage) string {
	var user id.ID
	if json.Unmarshal(text, &user) == nil {
		return string(user)
	}
	var object struct {
		UserID json.RawMessage `json:"userId"`
		ID     json.RawMessage `json:"id"`
	}
	if json.Unmarshal(text, &object) != nil {
		return ""
	}
	var other id.ID
	_ = json.Unmarshal(object.UserID, &user) // what is no id stays blank
	_ = json.Unmarshal(object.ID, &other)
	return string(cmp.Or(user, other))
}

// fillIn puts conference and user into the template of a URL, escaped for where they stand.
func fillIn(template, conferenceID, userID string) string {
	path, query, asks := strings.Cut(template, "?")
	put := func(part string, escape func(string) string) string {
		return strings.NewReplacer("{conferenceId}", escape(conferenceID), "{userId}", escape(userID)).Replace(part)
	}
	path = put(path, escapePath)
	if !asks {
		return path
	}
	return path + "?" + put(query, url.QueryEscape)
}

// escapePath escapes a segment of a path. Ids may consist of dots, which some servers take for folders.
func escapePath(segment string) string {
	if strings.Trim(segment, ".") == "" {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}
