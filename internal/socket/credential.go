package socket

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"golang.org/x/sync/errgroup"

	"rollcall/internal/auth"
	"rollcall/internal/conference"
	"rollcall/internal/fault"
	"rollcall/internal/throttle"
)

// tokenKey is what a token is called in the auth object of a CONNECT and in a query.
const tokenKey = "token"

func unauthorized(why string) error { return fault.New(fault.Unauthorized, "unauthorized", why) }
func forbidden(why string) error    { return fault.New(fault.Forbidden, "forbidden", why) }

var (
	errOtherUser = forbidden("the token belongs to another user")
	errNoSystem  = forbidden("the token does not make its bearer a system client")
)

// claimed takes the token out of the auth object of a CONNECT: the library keeps that object as long as the socket lives.
func claimed(sock *socketio.Socket) json.RawMessage {
	given := sock.Handshake().Auth
	token, _ := given[tokenKey].(json.RawMessage)
	delete(given, tokenKey)
	return token
}

// credential returns the token that a client has shown: in its CONNECT, else in a header, else in a cookie, else in the
// query. A wrong one is not made up for by a good one further down.
func (d *Door) credential(claim json.RawMessage, r *http.Request, q url.Values) (string, error) {
	token := ""
	if len(claim) > 0 && json.Unmarshal(claim, &token) != nil {
		return "", unauthorized("auth.token must be a string")
	}
	if token != "" {
		return token, nil
	}
	if len(r.Header.Values("Authorization")) > 1 || d.CookieName != "" && len(r.CookiesNamed(d.CookieName)) > 1 {
		return "", unauthorized("there are two tokens of a kind") // somebody below the same domain may have planted one
	}
	if scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(text) != "" {
		return strings.TrimSpace(text), nil
	}
	if d.CookieName != "" {
		if c, err := r.Cookie(d.CookieName); err == nil && c.Value != "" {
			return c.Value, nil
		}
	}
	token, once := single(q, tokenKey)
	switch {
	case !once:
		return "", unauthorized("the token must be given once")
	case token == "":
		return "", unauthorized("a token is needed")
	case !d.AllowQueryToken:
		return "", unauthorized("tokens are not taken from the URL here, send it as auth.token or in a header")
	}
	return token, nil
}

// identify finds out who a token names, and makes that who the seat is for. What the handshake says of him is not
// believed; it may only not say something else.
func (d *Door) identify(s *seat, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), admitTimeout)
	defer cancel()
	identity, err := s.verify(ctx, token)
	switch {
	case err != nil:
		return err
	case s.userID != "" && s.userID != identity.UserID:
		return errOtherUser
	case s.system && !identity.System:
		return errNoSystem
	}
	s.userID = identity.UserID
	s.believe(identity)
	s.stay(identity)
	return nil
}

const (
	// wrongPerSecond is how many wrong tokens an address may show. People share addresses, and the tokens of all of them may have
	// ended while the server was away.
	wrongPerSecond = 200
	// looksAtOnce is how many tokens of one address are looked at at the same moment: half of what an endpoint is asked at once,
	// so that nobody takes all of it.
	looksAtOnce = 8
)

var errGuesses = fault.Away(errors.New("too many wrong tokens from this address"))

// verify returns who a token names, unless too many wrong ones came from the address of the seat.
func (s *seat) verify(ctx context.Context, token string) (who auth.Identity, err error) {
	_, ok := s.door.guesses.Look(ctx, throttle.Address(s.ip), func() (wrong bool) {
		who, err = s.door.Tokens.Verify(ctx, token)
		return fault.Is(err, fault.Unauthorized)
	})
	if !ok {
		return auth.Identity{}, errGuesses
	}
	return who, err
}

// believe makes what a token says what is known of the user. It is called before the seat's first event, and in its lane.
func (s *seat) believe(i auth.Identity) {
	s.userName, s.named, s.role, s.admitted = i.Name, i.Name != "", i.Role, i.Conferences
}

// pass returns by what right the user of the seat may come into a conference, or why he may not.
func (s *seat) pass(conferenceID string) (conference.Pass, error) {
	if s.door.Tokens == nil {
		return conference.Free, nil
	}
	return passOf(s.admitted, conferenceID)
}

func passOf(c auth.Conferences, conferenceID string) (conference.Pass, error) {
	switch {
	case conferenceID == "":
		return conference.Free, nil
	case !c.Said:
		return conference.Listed, nil
	case c.Hold(conferenceID):
		return conference.Free, nil
	}
	return conference.Free, forbidden("the token does not name this conference")
}

// askedAtOnce is how many questions about conferences are asked at once. The house answers them together.
const askedAtOnce = 64

// mayWatch reports why a user with a token may not look into one of some conferences, or nil. "" is none, and only who is kept
// out of everything may not be there. Without auth everybody may.
func (d *Door) mayWatch(ctx context.Context, userID string, c auth.Conferences, conferences ...string) error {
	if d.Tokens == nil {
		return nil
	}
	passes := make([]conference.Pass, len(conferences))
	for i, id := range conferences {
		var err error
		if passes[i], err = passOf(c, id); err != nil {
			return err
		}
	}
	asked, ctx := errgroup.WithContext(ctx)
	asked.SetLimit(askedAtOnce)
	for i, id := range conferences {
		asked.Go(func() error {
			return d.Net.Try("look who may watch", func() error { return d.house.MayWatch(ctx, userID, id, passes[i]) })
		})
	}
	return asked.Wait()
}
