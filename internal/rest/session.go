package rest

import (
	"context"
	"net/http"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/auth"
	"rollcall/internal/fault"
	"rollcall/internal/peer"
)

type loginInput struct {
	Body struct {
		Key string `json:"key" maxLength:"1024" doc:"An API key"`
	}
}

// login is who somebody is to the API.
type login struct {
	Name      string `json:"name" doc:"Of the API key; anonymous while none is needed"`
	Role      string `json:"role" enum:"viewer,backend,admin"`
	CSRF      string `json:"csrf" doc:"What requests that change something repeat in X-CSRF-Token; blank without a cookie"`
	ExpiresAt *int64 `json:"expiresAt" doc:"Milliseconds since 1970; null without a cookie"`
}

func loginOf(c Caller, s *auth.Session) login {
	l := login{Name: c.Name, Role: c.Role.String()}
	if s != nil {
		ends := s.ExpiresAt.UnixMilli()
		l.CSRF, l.ExpiresAt = s.CSRF, &ends
	}
	return l
}

func (d *Door) sessions() {
	const path = "/session"
	register(d, operation{id: "log-in", open: true, bound: d.limits.logins, unkept: true, method: http.MethodPost, path: path, tag: "session", summary: "Log in with an API key",
		detail: "Sets the cookie " + sessionCookie + ", which counts for requests of pages of this service only. An Idempotency-Key is not heeded: nothing of the key is kept.",
		status: http.StatusCreated, body: fields}, d.logIn)
	register(d, operation{id: "get-session", role: viewer, method: http.MethodGet, path: path, tag: "session", summary: "Who one is"}, d.getSession)
	registerDelete(d, operation{id: "log-out", open: true, path: path, tag: "session", summary: "Log out", detail: "Also without having logged in. With the cookie of a login it needs X-CSRF-Token, as every change does."}, d.logOut)
}

func (d *Door) logIn(ctx context.Context, in *loginInput) (*answer[login], error) {
	v := visitOf(ctx)
	if !peer.Own(v.request) { // a friend's page has no business with the cookie either
		return nil, newProblem(http.StatusForbidden, "forbidden_origin", "only pages of this service may log in")
	}
	if d.Auth == nil {
		return ok(loginOf(anonymous, nil)), nil
	}
	key, known := d.Auth.Keys.Find(in.Body.Key)
	if !known {
		return nil, errUnknownKey
	}
	old, err := cookieOf(v.request)
	if err != nil { // the new one would not count beside them
		return nil, err
	}
	v.caller = Caller{Name: key.Name, Role: key.Role}
	var cookie string
	var s auth.Session
	err = d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if err := d.Auth.Sessions.End(ctx, old); err != nil { // the browser forgets it, and nobody could log out of it any more
			return err
		}
		if cookie, s, err = d.Auth.Sessions.Begin(ctx, key); err != nil {
			return err
		}
		return d.audit(ctx, "", act{Action: "login"})
	})
	if err != nil {
		return nil, err
	}
	d.setCookie(v, cookie, max(1, int(time.Until(s.ExpiresAt)/time.Second)))
	return ok(loginOf(v.caller, &s)), nil
}

func (d *Door) getSession(ctx context.Context, _ *struct{}) (*answer[login], error) {
	v := visitOf(ctx)
	return ok(loginOf(v.caller, v.session)), nil
}

func (d *Door) logOut(ctx context.Context, _ *struct{}) error {
	v := visitOf(ctx)
	if !peer.Own(v.request) {
		return nil // the cookie does not count, so there is nothing to end
	}
	cookie, err := cookieOf(v.request)
	if err != nil {
		return err
	}
	if d.Auth != nil && cookie != "" {
		if err := d.endSession(ctx, v, cookie); err != nil {
			return err
		}
	}
	d.setCookie(v, "", -1)
	return nil
}

// endSession ends the session of a cookie. One that is over has ended.
func (d *Door) endSession(ctx context.Context, v *visit, cookie string) error {
	s, err := d.Auth.Sessions.Find(ctx, cookie)
	switch {
	case fault.Is(err, fault.Unauthorized):
		return nil
	case err != nil:
		return err
	case !proves(v.request, s):
		return errCSRF
	}
	v.caller = Caller{Name: s.Name, Role: s.Role}
	return d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		if err := d.Auth.Sessions.End(ctx, cookie); err != nil {
			return err
		}
		return d.audit(ctx, "", act{Action: "logout"})
	})
}

// setCookie gives the browser its cookie for so many seconds; less than 0 takes it away.
func (d *Door) setCookie(v *visit, value string, seconds int) {
	c := http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: d.Proxies.Secure(v.request), SameSite: http.SameSiteStrictMode}
	v.header.Add("Set-Cookie", c.String())
}
