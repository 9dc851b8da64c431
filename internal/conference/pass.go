package conference

import (
	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

// Pass is by what right somebody comes into a conference.
type Pass int

const (
	// Free is somebody who may come in anywhere: nobody is asked who he is, or his token names the conference.
	Free Pass = iota
	// Listed is somebody about whom the members list decides; where there is none, Config.OpenConferences does.
	Listed
)

// Refusals of a conference towards somebody who wants in.
var (
	ErrUnknown  = fault.New(fault.NotFound, "unknown_conference", "nobody has registered this conference")
	ErrOver     = fault.New(fault.Conflict, "conference_ended", "this conference has ended")
	errBarred   = fault.New(fault.Forbidden, "forbidden", "you may not come in for now")
	errStranger = fault.New(fault.Forbidden, "forbidden", "you are not a member of this conference")
)

// question is whether a user may be in a conference, or see into it.
type question struct {
	userID       string // "" is nobody
	conferenceID string // "" is none
	by           Pass
	arrives      bool // he wants in; else he is there already, or only watches
}

func (q question) pair() [2]string { return [2]string{q.conferenceID, q.userID} }

// facts are what the database says about some questions, all as of one moment.
type facts struct {
	bars    presence.Bars
	known   map[string]bool    // conferences that are registered
	ended   map[string]bool    // those of them that are over
	members map[[2]string]bool // pairs of conference and user
	listed  map[string]bool    // conferences that have members
}

// verdict answers a question. An end, and that nobody has registered a conference, keep newcomers out and nobody else.
func (h *House) verdict(q question, f facts) error {
	stranger := q.by == Listed && !f.members[q.pair()]
	switch id := q.conferenceID; {
	case f.bars.Keep(q.userID, id):
		return errBarred
	case id == "":
		return nil
	case q.arrives && f.ended[id]:
		return ErrOver
	case q.arrives && !f.known[id] && !h.AutoCreate:
		return ErrUnknown
	case stranger && (f.listed[id] || !h.OpenConferences):
		return errStranger
	}
	return nil
}
