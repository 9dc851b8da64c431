package message

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"rollcall/internal/cluster"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// What nodes write to each other.
const (
	letterKind = "letter" // something is said to people: mailed
	unreadKind = "unread" // what is unread of a user has changed: unreadBody
	keptKind   = "kept"   // there is something for users who were reconnecting: keptBody
)

type unreadBody struct{ UserID string }

type keptBody struct{ Users []string }

// mailed is a letter for the sockets of another node. It is posted in the transaction that stores the letter, and so what is said
// of the two in letter holds for sockets on other nodes too: these read it behind the commit. All nodes read it, as anybody
// may have moved since it was looked who is where.
type mailed struct {
	Entry  notice.Entry // without deliveries and text, which is in Args
	Event  string
	Args   []string
	Asks   bool
	To     hall.Audience
	Users  []string // who is addressed by name, where To does not say so
	Sent   map[string]sentTo
	Kept   []string
	Holds  bool
	Quiet  bool
	Number string // of the notice, under which it is acknowledged
}

// sentTo is where a user has the socket of which the ledger says that it was sent the letter.
type sentTo struct{ Node, Session string }

// mail returns what other nodes are to be told of a letter: nil when there are none.
func (m *Messages) mail(l letter) ([]hall.Letter, error) {
	if m.Cluster.IsAlone() {
		return nil, nil
	}
	b := mailed{
		Entry: l.entry, Event: l.frame.event, Asks: l.frame.asks, To: l.to, Sent: map[string]sentTo{}, Kept: slices.Sorted(maps.Keys(l.kept)), Holds: l.holds, Quiet: l.quiet,
		Number: l.frame.noticeID,
	}
	b.Entry.Deliveries, b.Entry.Message, b.Entry.Envelope = nil, nil, nil
	for _, a := range l.frame.args {
		b.Args = append(b.Args, string(a))
	}
	if l.names {
		b.Users = l.users
	}
	for _, d := range l.entry.Deliveries {
		if d.State == notice.Sent {
			b.Sent[d.UserID] = sentTo{cmp.Or(l.at[d.UserID], m.Cluster.Node), d.SessionID}
		}
	}
	mail, err := cluster.Letter(letterKind, b)
	if err != nil {
		return nil, err
	}
	return []hall.Letter{mail}, nil
}

// mailLate posts, behind the commit, a letter that was not posted within because nobody else served.
func (m *Messages) mailLate(ctx context.Context, l letter) {
	mail, err := m.mail(l)
	if m.note("write a letter", err); err == nil && mail != nil {
		m.post(ctx, mail...)
	}
}

// post posts letters behind a transaction.
func (m *Messages) post(ctx context.Context, letters ...hall.Letter) {
	m.note("post letters to other nodes", m.Cluster.Post(context.WithoutCancel(store.Outside(ctx)), letters...))
}

// letter returns the letter as a node has it to send.
func (b mailed) letter(node string) letter {
	l := letter{entry: b.Entry, frame: frame{noticeID: b.Number, event: b.Event, asks: b.Asks}, to: b.To, users: b.Users, holds: b.Holds, quiet: b.Quiet, kept: map[string]bool{}, away: map[string]bool{}}
	for _, a := range b.Args {
		l.frame.args = append(l.frame.args, json.RawMessage(a))
	}
	for _, user := range b.Kept {
		l.kept[user] = true
	}
	if len(l.users) == 0 {
		l.users = b.To.Users
	}
	for _, user := range l.users {
		d := notice.Delivery{UserID: user, State: notice.Unreached}
		sent, is := b.Sent[user]
		switch {
		case is:
			d.State, d.SessionID = notice.Sent, sent.Session
		case l.entry.Stored:
			d.State = notice.Queued
		}
		l.away[user] = sent.Node != node
		l.entry.Deliveries = append(l.entry.Deliveries, d)
	}
	return l
}

// Receive takes what another node has written. It does not block.
func (m *Messages) Receive(kind string, text json.RawMessage) error {
	switch kind {
	case letterKind:
		var b mailed
		if err := json.Unmarshal(text, &b); err != nil {
			return fmt.Errorf("read a letter: %w", err)
		}
		m.goOut(b.letter(m.Cluster.Node))
	case unreadKind:
		var b unreadBody
		if err := json.Unmarshal(text, &b); err != nil {
			return fmt.Errorf("read a letter: %w", err)
		}
		if len(m.Hall.Find(hall.Audience{Users: []string{b.UserID}})) > 0 {
			m.unread.push(b.UserID)
		}
	case keptKind:
		var b keptBody
		if err := json.Unmarshal(text, &b); err != nil {
			return fmt.Errorf("read a letter: %w", err)
		}
		m.arrived(true, m.Hall.Find(hall.Audience{Users: b.Users})...)
	}
	return nil
}
