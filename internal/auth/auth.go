// Package auth knows who is asking: users by tokens, callers of REST by keys, administrators at the console by sessions.
package auth

import "rollcall/internal/fault"

// Role is what a caller of REST may do. Each may do what those before it may, but for User, who sees what is his own.
type Role int

const (
	// None is somebody who did not say who he is.
	None Role = iota
	// User is somebody with a token of his own.
	User
	// Viewer reads.
	Viewer
	// Backend reads, and tells and pushes what happens in meetings.
	Backend
	// Admin may do everything.
	Admin
)

// String returns the name of the role, as the configuration writes it.
func (r Role) String() string {
	switch r {
	case User:
		return "user"
	case Viewer:
		return "viewer"
	case Backend:
		return "backend"
	case Admin:
		return "admin"
	}
	return "none"
}

// ParseRole returns the role of an API key that the configuration calls so: viewer, backend or admin.
func ParseRole(name string) (Role, bool) {
	for _, r := range []Role{Viewer, Backend, Admin} {
		if r.String() == name {
			return r, true
		}
	}
	return None, false
}

// unauthorized is the fault of a credential that proves nothing. why is told to whoever sent it, so it repeats nothing of it.
func unauthorized(why string) *fault.Error {
	return fault.New(fault.Unauthorized, "unauthorized", why)
}
