package socket

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// term is how long a seat may be kept: until its token ends. The seat's mu guards it.
type term struct {
	until time.Time
	timer *time.Timer // nil while nothing ends it
	over  bool        // the token has ended, and with it the seat
}

// stay lets the seat end with its token, or with a newer one. It reports false if the seat has ended before.
func (s *seat) stay(i auth.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.term.over {
		return false
	}
	if s.door.CheckOnce {
		return true
	}
	s.term.until = i.ExpiresAt.Add(s.door.Leeway)
	if left := time.Until(s.term.until); s.term.timer == nil {
		s.term.timer = s.door.Net.After(left, "end a stay", func() { s.attempt("end a stay", s.expire) })
	} else {
		s.term.timer.Reset(left)
	}
	return true
}

// expire ends the seat if its time is over: when the timer fired, a newer token may just have come. From then on none can.
func (s *seat) expire() {
	s.mu.Lock()
	left := time.Until(s.term.until)
	switch {
	case s.gone:
	case left > 0:
		s.term.timer.Reset(left)
	default:
		s.term.over = true
	}
	over := s.term.over
	s.mu.Unlock()
	if over {
		s.expel("token_expired", presence.Kicked)
	}
}

// reauthsAtOnce is how many fresh tokens a seat may show at once, and then one a second: to look at one may mean to ask somebody.
const reauthsAtOnce = 10

// onReauth takes a fresh token of the same user. Until it has, the seat stays with the one that it has.
func (s *seat) onReauth(arg json.RawMessage) (answer, error) {
	if s.door.Tokens == nil {
		return answer{"expiresAt": nil}, nil
	}
	var in struct {
		Token string `json:"token"`
	}
	if err := decode(arg, &in); err != nil {
		return nil, err
	}
	if ok, _ := s.fresh.take(time.Now()); !ok {
		return nil, fault.New(fault.RateLimited, "rate_limited", "too many tokens, the one before them still counts")
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	fresh, err := s.verify(ctx, in.Token)
	if err != nil {
		return nil, err
	}
	if err := s.mayStay(ctx, fresh); err != nil {
		return nil, err
	}
	if !s.stay(fresh) {
		return nil, unauthorized("the token before this one has ended")
	}
	s.believe(fresh)
	return answer{"expiresAt": fresh.ExpiresAt.UnixMilli()}, nil
}

// mayStay reports why somebody with a fresh token may not sit where the seat is, or nil.
func (s *seat) mayStay(ctx context.Context, fresh auth.Identity) error {
	switch {
	case fresh.UserID != s.userID:
		return errOtherUser
	case s.system && !fresh.System:
		return errNoSystem
	}
	s.mu.Lock()
	places := slices.Sorted(maps.Keys(s.watched))
	if s.who.conferenceID != "" {
		places = append(places, s.who.conferenceID)
	}
	s.mu.Unlock()
	return s.door.mayWatch(ctx, s.userID, fresh.Conferences, places...)
}
