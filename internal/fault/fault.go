// Package fault names what can go wrong in the words the outside is told: a kind, which each door maps
// to its own status, and a stable code.
package fault

import (
	"errors"
	"fmt"
)

// Kind is the class of a fault. Doors translate it: rest to an HTTP status, socket to an error code.
type Kind int

const (
	// Internal is a bug or something nobody foresaw. Its text never leaves the process.
	Internal Kind = iota
	// Invalid is input of the wrong shape or value.
	Invalid
	// TooLarge is input above a limit of size or number.
	TooLarge
	// Unauthorized is a caller nobody knows.
	Unauthorized
	// Forbidden is a known caller who may not do this.
	Forbidden
	// NotFound is a thing that does not exist.
	NotFound
	// Conflict is a request that does not fit the present state.
	Conflict
	// Precondition is an If-Match that no longer holds.
	Precondition
	// RateLimited is too much in too short a time.
	RateLimited
	// Unavailable is something that is away for now: the same request may succeed later.
	Unavailable
)

// Error is a fault with a code that programs may rely on and a message that people may read.
// Both go outward, so neither holds internals; Err, which may, is for the log only.
type Error struct {
	Kind    Kind
	Code    string // stable, in snake_case
	Message string // one plain sentence without a full stop
	Err     error  // the cause; nil when the fault is its own cause
}

// New returns a fault without a cause.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Invalidf returns a fault of kind Invalid with code bad_payload.
func Invalidf(format string, args ...any) *Error {
	return &Error{Kind: Invalid, Code: "bad_payload", Message: fmt.Sprintf(format, args...)}
}

// Away returns a fault of kind Unavailable caused by err: what was asked cannot be answered for now.
func Away(err error) *Error {
	return &Error{Kind: Unavailable, Code: "unavailable", Message: "the service cannot do this right now, try again", Err: err}
}

// Error returns message and cause, for the log.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the fault in err's chain, or an Internal one around err. Of(nil) is nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	return &Error{Kind: Internal, Code: "internal", Message: "something went wrong", Err: err}
}

// Is reports whether err's chain holds a fault of the kind.
func Is(err error, kind Kind) bool {
	f, ok := errors.AsType[*Error](err)
	return ok && f.Kind == kind
}
