package explain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"rollcall/internal/presence"
)

// addSessions tells of sockets that came and went, and of the states that follow from them.
func (l *line) addSessions(ctx context.Context) (err error) {
	from := max(1, l.From-l.grace.Milliseconds()) // who was lost before the time asked for may go within it
	l.records, err = l.presence.History(ctx, presence.HistoryQuery{UserID: l.UserID, ConferenceID: l.ConferenceID, From: from, To: l.To, Limit: momentsMax + 1})
	if err != nil {
		return err
	}
	l.cut = len(l.records) > momentsMax
	rooms := map[string][]presence.Record{}
	for _, r := range l.records {
		l.addSession(r)
		if r.ConferenceID != "" {
			rooms[r.ConferenceID] = append(rooms[r.ConferenceID], r)
		}
	}
	for _, conf := range slices.Sorted(maps.Keys(rooms)) {
		l.addStates(conf, rooms[conf])
	}
	return nil
}

func (l *line) addSession(r presence.Record) {
	m := Moment{
		At: r.OpenedAt.UnixMilli(), Kind: "session.opened", ConferenceID: r.ConferenceID, SessionID: r.ID, Node: r.NodeID,
		ClientType: r.ClientType, DeviceID: r.DeviceID, IP: r.IP,
	}
	m.Text = fmt.Sprintf("He connected with %s to the node %s%s.", device(r.DeviceID, r.ClientType), r.NodeID, within(r.ConferenceID))
	l.add(m)
	if r.ClosedAt == 0 {
		return
	}
	m.At, m.Kind, m.Reason, m.Text = r.ClosedAt, "session.closed", string(r.Reason), farewell(r)
	l.add(m)
}

func device(id, clientType string) string {
	if id == "" {
		return "a device without an id (" + clientType + ")"
	}
	return "the device " + id + " (" + clientType + ")"
}

func within(conf string) string {
	if conf == "" {
		return ", without a conference"
	}
	return ", into the conference " + conf
}

// farewell says why a session was closed.
func farewell(r presence.Record) string {
	with := device(r.DeviceID, r.ClientType)
	switch r.Reason {
	case presence.Left:
		return "His client said good-bye: the session of " + with + " was closed."
	case presence.Lost:
		return "The connection of " + with + " was lost: it broke, it stopped answering, or its node " + r.NodeID + " was stopped as planned."
	case presence.NodeLost:
		return "The node " + r.NodeID + " died (found by its heartbeat); the session of " + with + " was closed, as of the last heartbeat."
	case presence.Duplicate:
		return "The session of " + with + " was ended to make room for a newer one of the same user."
	case presence.Kicked:
		return "The session of " + with + " was ended by the service: he was kicked, or had too many."
	}
	return "The session of " + with + " was closed: " + string(r.Reason) + "."
}

// happening is the beginning or the end of a session.
type happening struct {
	at     int64
	opened bool
	why    presence.Reason
}

// walk is one user in one conference on his way through its happenings.
type walk struct {
	*line
	conf string
	open int
	due  int64 // when his grace is over; 0 unless he is reconnecting
}

func (l *line) addStates(conf string, records []presence.Record) {
	var list []happening
	for _, r := range records {
		list = append(list, happening{at: r.OpenedAt.UnixMilli(), opened: true})
		if r.ClosedAt != 0 {
			list = append(list, happening{at: r.ClosedAt, why: r.Reason})
		}
	}
	slices.SortStableFunc(list, func(a, b happening) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(first(a.opened), first(b.opened)))
	})
	w := &walk{line: l, conf: conf}
	for _, h := range list {
		w.step(h)
	}
	w.expire(l.now)
}

// first puts what opens before what closes at the same time: he was never gone.
func first(opened bool) int {
	if opened {
		return 0
	}
	return 1
}

func (w *walk) step(h happening) {
	w.expire(h.at)
	if h.opened {
		if w.open++; w.open == 1 {
			text := "He is online in the conference " + w.conf + "."
			if w.due != 0 {
				text = "He is online in the conference " + w.conf + " again, within his grace: nobody was told that he had gone."
			}
			w.due = 0
			w.say(h.at, presence.Online, "", text)
		}
		return
	}
	if w.open--; w.open > 0 {
		return
	}
	if presence.Polite(h.why) || w.grace == 0 {
		w.say(h.at, presence.Offline, h.why, "He is offline in the conference "+w.conf+" at once, without grace: his last session there was closed ("+string(h.why)+").")
		return
	}
	w.due = h.at + w.grace.Milliseconds()
	w.say(h.at, presence.Reconnecting, h.why, fmt.Sprintf("He is reconnecting in the conference %s: his last session there was lost (%s), and he has %s to come back.", w.conf, h.why, w.grace))
}

// expire takes him offline if his grace is over by now. When others were shown it, a dead node had to be noticed first.
func (w *walk) expire(now int64) {
	if w.due == 0 || w.due > now {
		return
	}
	w.say(w.due, presence.Offline, "", fmt.Sprintf("He is offline in the conference %s: he did not come back within %s. After the death of a node others are shown it later, as the death has to be noticed first.", w.conf, w.grace))
	w.due = 0
}

func (w *walk) say(at int64, state presence.State, why presence.Reason, text string) {
	w.add(Moment{At: at, Kind: "state." + string(state), Text: text, ConferenceID: w.conf, Reason: string(why), State: string(state)})
}

// there reports whether he had a session at a moment, in any conference or in this one.
func (l *line) there(at int64, conf string) bool {
	return slices.ContainsFunc(l.records, func(r presence.Record) bool {
		return (conf == "" || r.ConferenceID == conf) && r.OpenedAt.UnixMilli() <= at && (r.ClosedAt == 0 || at < r.ClosedAt)
	})
}

// clock writes a time as operators read it.
func clock(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
