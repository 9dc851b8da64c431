package socket

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
)

// maxAlias is how many characters a tokenId may have. It is a name of another system, so more than an id of ours.
const maxAlias = 512

// login is what user_login asks for, checked against who sits in the seat.
type login struct {
	userID, conferenceID string // where the seat is to be; "" for nobody and for nowhere
	alias                string // "" keeps what it has
	all                  bool   // push what was read too
}

// onLogin names a nobody, brings a user without a conference into one, gives the seat an alias, and pushes what waits
// for its user.
func (s *seat) onLogin(arg json.RawMessage) (answer, error) {
	in, err := s.readLogin(arg)
	if err != nil {
		return nil, err
	}
	if err := s.mayAnswerTo(in.alias); err != nil {
		return nil, err
	}
	who, arrives := s.person(), false
	if !s.system && in.userID != "" && (who.userID != in.userID || who.conferenceID != in.conferenceID) {
		s.userID = in.userID
		if arrives, err = s.reseat(in.conferenceID, presence.Left); err != nil {
			return nil, err
		}
	}
	if err := s.answerTo(in.alias); err != nil {
		return nil, err
	}
	if err := s.publishAlias(); err != nil {
		return nil, err
	}
	unread := notice.Unread{ByCategory: map[string]int{}}
	if me := s.socket(); me.UserID != "" {
		ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
		defer cancel()
		if unread, err = s.door.messages.Login(ctx, me, arrives, in.all); err != nil {
			return nil, err
		}
	}
	return answer{"unread": unread, "sessionId": s.person().sessionID}, nil
}

// readLogin reads the argument of user_login and reports why it cannot be done.
func (s *seat) readLogin(arg json.RawMessage) (login, error) {
	var in struct {
		UserID       id.ID  `json:"userId"`
		ConferenceID id.ID  `json:"conferenceId"`
		TokenID      id.ID  `json:"tokenId"`
		Include      string `json:"include"`
	}
	if err := decode(arg, &in); err != nil {
		return login{}, err
	}
	l := login{userID: string(in.UserID), conferenceID: string(in.ConferenceID), all: in.Include == "all"}
	if !id.Nobody(string(in.TokenID)) { // a page without a token sends such words too
		l.alias = string(in.TokenID)
	}
	switch {
	case in.Include != "" && in.Include != "all":
		return login{}, fault.Invalidf("include must be all or left out")
	case utf8.RuneCountInString(l.alias) > maxAlias || strings.ContainsFunc(l.alias, unicode.IsControl):
		return login{}, fault.Invalidf("tokenId may have at most %d characters, none of them a control character", maxAlias)
	}
	if s.system {
		return l, s.checkSystemLogin(l)
	}
	who := s.person()
	if id.Nobody(l.userID) {
		l.userID = who.userID
	}
	if id.NoConference(l.conferenceID) {
		if l.conferenceID = who.conferenceID; who.userID == "" {
			l.conferenceID = s.conferenceID // what the nobody asked for when it connected
		}
	}
	return l, checkLogin(l, who)
}

// checkLogin reports why who cannot become what l says. With an alias alone a nobody stays one.
func checkLogin(l login, who person) error {
	switch {
	case l.userID == "" && l.alias == "":
		return fault.Invalidf("userId is missing")
	case l.userID != "" && id.Check(l.userID) != nil:
		return fault.Invalidf("userId %v", id.Check(l.userID))
	case l.conferenceID != "" && id.Check(l.conferenceID) != nil:
		return fault.Invalidf("conferenceId %v", id.Check(l.conferenceID))
	case who.userID != "" && who.userID != l.userID:
		return fault.New(fault.Forbidden, "forbidden", "this socket belongs to another user")
	case who.conferenceID != "" && who.conferenceID != l.conferenceID:
		return fault.New(fault.Conflict, "conflict", "this socket is in another conference, leave it first")
	}
	return nil
}

// checkSystemLogin lets a system client have an alias and nothing else.
func (s *seat) checkSystemLogin(l login) error {
	other := !id.Nobody(l.userID) && l.userID != s.userID || !id.NoConference(l.conferenceID) && l.conferenceID != s.conferenceID
	if l.alias == "" || other {
		return fault.New(fault.Forbidden, "forbidden", "a system client has no presence")
	}
	return nil
}

// mayAnswerTo reports why the seat may not have an alias, or nil. What the backend addresses to an alias comes to whoever
// has it, so with auth on it is nobody else's: not the id of another user, nor the alias of a socket of one.
func (s *seat) mayAnswerTo(alias string) error {
	if s.door.Tokens == nil || alias == "" || alias == s.userID {
		return nil
	}
	if s.door.hall.taken(alias, s.userID) {
		return errAlias
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	if taken, err := s.door.house.TakenElsewhere(ctx, alias, s.userID); err != nil || taken {
		return cmp.Or(err, error(errAlias))
	}
	if id.Check(alias) != nil { // then it is no user's
		return nil
	}
	known, err := s.door.house.Knows(ctx, alias)
	if err != nil {
		return err
	}
	if known {
		return errAlias
	}
	return nil
}

// errAlias is the same for a user and for an alias, so that it does not tell which users there are.
var errAlias = forbidden("this tokenId is somebody else's")

// answerTo makes the seat findable under an alias instead of the one that it had.
func (s *seat) answerTo(alias string) error {
	if alias == "" || alias == s.alias {
		return nil
	}
	s.sock.Join(aliasRoom(alias))
	if err := s.mayAnswerTo(alias); err != nil { // somebody came at the same moment; see also enter
		s.sock.Leave(aliasRoom(alias))
		return err
	}
	if s.alias != "" {
		s.sock.Leave(aliasRoom(s.alias))
	}
	s.alias = alias
	return nil
}

// publishAlias has other nodes find the seat under its alias. A seat without a session they find when something is sent there, and
// cannot count.
func (s *seat) publishAlias() error {
	who := s.person()
	if s.alias == "" || who.sessionID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	return s.door.house.Alias(ctx, who.sessionID, s.alias)
}

// enter puts the seat into its rooms. A user whose id somebody took for an alias before anybody knew him gets it back.
func (s *seat) enter(p person) {
	if s.door.Tokens != nil {
		s.door.hall.reclaim(p.userID)
	}
	s.door.hall.enter(s, p)
}
