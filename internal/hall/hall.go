// Package hall has the words for sockets: who is addressed, who was reached, and what one node says to another.
package hall

import "encoding/json"

// Socket is one socket, of this node unless Node says otherwise.
type Socket struct {
	SessionID    string // "" of nobody and of system clients
	UserID       string // "" of nobody
	UserName     string
	ConferenceID string // "" outside of any
	ClientType   string
	DeviceID     string
	IP           string
	System       bool   // it watches, and has no presence
	Node         string // where it is; "" is here
}

// Audience names sockets, of this node or of all: those of Users, of Sessions, of Aliases, in the Lobby, or All of them. The other
// fields narrow it.
type Audience struct {
	Users    []string
	Sessions []string
	Aliases  []string // tokenIds that user_login gave
	Lobby    bool     // those that are in no conference, system clients included
	All      bool     // with a ConferenceID: its room, those that watch it included

	ConferenceID string   // only those in it
	ClientTypes  []string // only those of these types; empty: all
	Except       []string // users who are left out
	ExceptOf     string   // a session that is left out
}

// Event is something to be said to sockets.
type Event struct {
	To   Audience
	Name string
	Args []json.RawMessage
}

// Users returns the different users among sockets, in the order in which they first stand there. Nobody is left out.
func Users(sockets []Socket) []string {
	seen := make(map[string]bool, len(sockets))
	var list []string
	for _, s := range sockets {
		if s.UserID != "" && !seen[s.UserID] {
			seen[s.UserID] = true
			list = append(list, s.UserID)
		}
	}
	return list
}

// Letter is something for the sockets of other nodes.
type Letter struct {
	To   string // the only node it is for; "" is all of them
	Mine bool   // also for the node that posts it, which so hears it in the same order as the others
	Kind string // which the receiver knows; at most 16 characters
	Body []byte // JSON
}
