package rest

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"rollcall/internal/auth"
	"rollcall/internal/fault"
	"rollcall/internal/peer"
	"rollcall/internal/throttle"
)

const (
	sessionCookie = "rollcall_session"
	csrfHeader    = "X-CSRF-Token"
	// wrongPerCall is how many wrong tokens and cookies an address may send for each call that one caller may make. To look at
	// one may mean to ask the database, so strangers cannot have it for nothing; but people share addresses.
	wrongPerCall = 10
	// looksAtOnce is how many tokens and cookies of one address are looked at at the same moment: half of what an endpoint is
	// asked at once, so that nobody takes all of it.
	looksAtOnce = 8
	// loginsPerSecond of one address are enough for people, and too few to guess a key that somebody thought up.
	loginsPerSecond = 5
)

// limits bound how often somebody may come. All but logins follow Config.RequestsPerSecond, and may be none. They share no table:
// strangers, and what they make up, can fill theirs, and those whom we know would then have to do with what the crowd leaves.
type limits struct {
	calls       *throttle.Throttle // by API key or user
	strangers   *throttle.Throttle // by address
	credentials *throttle.Throttle // by token or cookie
	wrong       *throttle.Guesses  // tokens and cookies, by address
	logins      *throttle.Throttle // by address
}

func newLimits(perSecond int) limits {
	return limits{
		calls: throttle.New(perSecond), strangers: throttle.New(perSecond), credentials: throttle.New(perSecond),
		wrong: throttle.NewGuesses(wrongPerCall*perSecond, looksAtOnce), logins: throttle.New(loginsPerSecond),
	}
}

// Caller is who sends a request.
type Caller struct {
	Name   string // of the API key; "user 7" of somebody with a token, "anonymous" while none is needed, "" of a stranger
	Role   auth.Role
	UserID string // of role User
}

var anonymous = Caller{Name: "anonymous", Role: auth.Admin}

// parts tell a caller from all others: a key may be called as a user is.
func (c Caller) parts() []string {
	if c.Role == auth.User {
		return []string{"user", c.UserID}
	}
	return []string{c.Name}
}

// may reports whether the caller may do an operation, whose path names the id.
func (c Caller) may(o operation, id string) bool {
	if c.Role == auth.User {
		return o.own && c.UserID == id
	}
	return o.role != auth.None && c.Role >= o.role // an operation without a role would be a mistake, and is nobody's
}

// short says what the caller, who may not do an operation, falls short of.
func (c Caller) short(o operation) string {
	if c.Role == auth.User && o.own {
		return "a user's token is for his own inbox"
	}
	return fmt.Sprintf("this needs the role %s", o.role)
}

// enter finds out who sends a request, counts it, and says why it may not go on, nil if it may.
func (d *Door) enter(c *gin.Context, o operation) *problem {
	v := visitOf(c.Request.Context())
	err := d.assess(c, v, o)
	if err == nil {
		return nil
	}
	v.failure = err
	return problemOf(err)
}

func (d *Door) assess(c *gin.Context, v *visit, o operation) error {
	if o.open {
		if err := take(d.limits.strangers, v.stranger()); err != nil || o.bound == nil {
			return err
		}
		return take(o.bound, v.stranger())
	}
	unknown := d.identify(c.Request, v)
	if busy, ok := errors.AsType[*problem](unknown); ok {
		return busy
	}
	if !o.unlimited {
		if err := d.count(v); err != nil {
			return err
		}
	}
	switch {
	case unknown != nil:
		return unknown
	case v.session != nil && c.Request.Method != http.MethodGet && !proves(c.Request, *v.session):
		return errCSRF
	case !v.caller.may(o, c.Param("id")):
		return fault.New(fault.Forbidden, "forbidden", v.caller.short(o))
	}
	return nil
}

// errCSRF is of a request that may come from a page of somebody else, which cannot know the token.
var errCSRF = fault.New(fault.Forbidden, "csrf", "a request with the cookie of the console needs the header "+csrfHeader+", as GET /session tells it")

// proves reports whether a request repeats what only pages of ours can know.
func proves(r *http.Request, s auth.Session) bool {
	return s.CSRF != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(s.CSRF)) == 1
}

// count counts a call. The first word keeps people and keys apart, whatever they are called.
func (d *Door) count(v *visit) error {
	switch {
	case d.Auth == nil || v.caller.Role == auth.None:
		return take(d.limits.strangers, v.stranger())
	case v.caller.Role == auth.User:
		return take(d.limits.calls, "user "+v.caller.UserID)
	}
	return take(d.limits.calls, "key "+v.caller.Name)
}

// stranger is whom limits are for while nobody knows who calls.
func (v *visit) stranger() string { return throttle.Address(v.address) }

// take counts one event, or says when there is room for it.
func take(t *throttle.Throttle, who string) error {
	return unless(t.Take(who))
}

func unless(wait time.Duration, ok bool) error {
	if ok {
		return nil
	}
	p := newProblem(http.StatusTooManyRequests, "rate_limited", "too many requests, try again later")
	p.after = wait
	return p
}

// identify finds out who sends a request. A credential that is wrong is an error even if another one would do: somebody
// means to be who he is not, or does not know what he sends.
func (d *Door) identify(r *http.Request, v *visit) error {
	if d.Auth == nil {
		v.caller = anonymous
		return nil
	}
	text, bearer, err := credentialOf(r)
	if err != nil {
		return err
	}
	if text == "" {
		return d.identifySession(r, v)
	}
	if key, ok := d.Auth.Keys.Find(text); ok {
		v.caller = Caller{Name: key.Name, Role: key.Role}
		return nil
	}
	if !bearer || d.Auth.Tokens == nil {
		return errUnknownKey
	}
	var who auth.Identity
	err = d.lookInto(v, text, func() (err error) { who, err = d.Auth.Tokens.Verify(r.Context(), text); return err })
	if err != nil {
		return err
	}
	v.caller = Caller{Name: "user " + who.UserID, Role: auth.User, UserID: who.UserID}
	return nil
}

func (d *Door) identifySession(r *http.Request, v *visit) error {
	cookie, err := cookieOf(r)
	if err != nil {
		return err
	}
	if cookie == "" {
		return unauthorized("an API key is needed")
	}
	var s auth.Session
	err = d.lookInto(v, cookie, func() (err error) { s, err = d.Auth.Sessions.Find(r.Context(), cookie); return err })
	if err != nil {
		return err
	}
	v.session, v.caller = &s, Caller{Name: s.Name, Role: s.Role}
	return nil
}

// lookInto finds out what a token or a cookie is worth, which costs something: so not of an address that sent many wrong ones,
// and not of one that is sent again and again. That nobody could say is no fault of the caller.
func (d *Door) lookInto(v *visit, credential string, look func() error) (err error) {
	wait, ok := d.limits.wrong.Look(v.request.Context(), v.stranger(), func() (wrong bool) {
		if err = take(d.limits.credentials, digest(credential)); err == nil {
			err = look()
		}
		return fault.Is(err, fault.Unauthorized)
	})
	if !ok {
		return unless(wait, false)
	}
	return err
}

var errUnknownKey = unauthorized("this API key is not known")

func unauthorized(why string) *fault.Error { return fault.New(fault.Unauthorized, "unauthorized", why) }

// credentialOf returns the key or token in the headers of a request, "" if there is none; only a bearer's may be a token.
func credentialOf(r *http.Request) (text string, bearer bool, err error) {
	said, err := single(r, "Authorization")
	if err != nil {
		return "", false, err
	}
	key, err := single(r, "X-API-Key")
	if err != nil {
		return "", false, err
	}
	if said == "" {
		return key, false, nil
	}
	scheme, text, _ := strings.Cut(said, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, unauthorized("Authorization must be Bearer, followed by a key or a token")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return key, false, nil
	}
	if key != "" && key != text {
		return "", false, unauthorized("Authorization and X-API-Key say different things")
	}
	return text, true, nil
}

// single returns the value of a header that may be there once.
func single(r *http.Request, name string) (string, error) {
	values := r.Header.Values(name)
	if len(values) > 1 {
		return "", unauthorized("the header " + name + " is there twice")
	}
	return strings.TrimSpace(r.Header.Get(name)), nil
}

// cookieOf returns the cookie of the console, "" if there is none or if it does not count, because another page than ours
// sends the request.
func cookieOf(r *http.Request) (string, error) {
	list := r.CookiesNamed(sessionCookie)
	switch {
	case len(list) == 0 || !peer.Own(r):
		return "", nil
	case len(list) > 1: // somebody below the same domain may have planted one
		return "", unauthorized("the cookie of the console is there twice")
	}
	return list[0].Value, nil
}

// behind is a route outside the API for those who have a role.
func (d *Door) behind(role auth.Role, handle gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-store") // a proxy must not tell it to those who have none
		if p := d.enter(c, operation{role: role, unlimited: true}); p != nil {
			refuse(c, p)
			return
		}
		handle(c)
	}
}
