package presence

import "time"

// State is what is said of a user in a conference.
type State string

const (
	// Online is a user with at least one open session.
	Online State = "online"
	// Reconnecting is a user whose last session was lost and whose grace is not over.
	Reconnecting State = "reconnecting"
	// Offline is a user who left, or whose grace is over.
	Offline State = "offline"
	// Absent is a registered member who is not there; in rosters only.
	Absent State = "absent"
	// Excused is a registered member who is not there and need not be; in rosters only.
	Excused State = "excused"
)

// here reports whether the state counts for the online number.
func (s State) here() bool { return s == Online || s == Reconnecting }

// Reason is why a session was closed or a user went offline. A row holds at most 16 characters of it.
type Reason string

const (
	// Left is a user who said good-bye.
	Left Reason = "left"
	// Lost is a link that broke.
	Lost Reason = "lost"
	// Kicked is a user who was sent away.
	Kicked Reason = "kicked"
	// NodeLost is a session whose node died.
	NodeLost Reason = "node_lost"
	// Duplicate is a session that had to make room for a newer one of its user.
	Duplicate Reason = "duplicate"
	// Ended is a conference that ended while the user was in it; in attendance only.
	Ended Reason = "ended"
)

// Polite reports whether a close for this reason skips the grace: nobody expects the user back in a moment.
func Polite(why Reason) bool { return why != Lost && why != NodeLost }

// shown is the reason as it is told of a user: of sessions there are more kinds.
func (r Reason) shown() Reason {
	switch r {
	case Left, Lost, NodeLost:
		return r
	}
	return Kicked
}

// ifAny is the reason of a row as it is told of a user.
func (r Reason) ifAny() Reason {
	if r == "" {
		return ""
	}
	return r.shown()
}

// Session is one stay of one socket in one conference, or in none.
type Session struct {
	ID           string // see id.New
	ConferenceID string // "" is none: the session is on record, and nobody's presence changes
	UserID       string
	UserName     string // as token or handshake say; may be ""
	NameTrusted  bool   // UserName is the token's and goes before all other names
	Role         string // as his token says, for rosters of conferences that he is no member of: host, member, observer or ""
	ClientType   string
	DeviceID     string
	IP           string
	OpenedAt     time.Time
}

// Arrival is what opening a session meant.
type Arrival struct {
	UserName   string   // the name that is shown
	Came       bool     // the user was not there before
	Back       bool     // the user was reconnecting
	Superseded []string // under "newest": his older sessions there, which the caller must end
	Elsewhere  int      // his open sessions on other nodes, in whatever conference
	// RosterVersion is the first version of the conference's roster with this session in it.
	RosterVersion int64
}

// Change is what a commit meant for one user in one conference. From equals To when only his devices changed.
type Change struct {
	ConferenceID string
	UserID       string
	UserName     string
	From, To     State
	Reason       Reason // left, lost, kicked or node_lost; "" when he is online
	At           int64  // milliseconds since 1970, by the clock of the database
	Online       int    // people online or reconnecting in the conference after it
}
