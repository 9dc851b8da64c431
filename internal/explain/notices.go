package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"rollcall/internal/notice"
)

// logPage is how many rows of the log are read at once.
const logPage = 200

// addAnnouncements tells what the room was told of him, or not.
func (l *line) addAnnouncements(ctx context.Context) error {
	for _, event := range []string{notice.OnlineNotice, notice.OfflineNotice} {
		// By sender, not by conference: a user has far fewer rows than a room.
		err := l.each(ctx, notice.Filter{SenderID: l.UserID, Event: event}, func(e notice.Entry) {
			if l.ConferenceID == "" || e.ConferenceID == l.ConferenceID {
				l.addAnnouncement(e)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *line) addAnnouncement(e notice.Entry) {
	what := "that he came online"
	if e.Event == notice.OfflineNotice {
		what = "that he went offline"
	}
	m := Moment{At: e.CreatedAt, Kind: "notice." + e.State, ConferenceID: e.ConferenceID, NoticeID: e.ID, Event: e.Event, State: e.State}
	switch e.State {
	case notice.Sent:
		m.Text = fmt.Sprintf("The conference %s was told %s (%s, to %d users).", e.ConferenceID, what, e.Event, e.Audience)
	case notice.Suppressed:
		m.Text = fmt.Sprintf("The conference %s was not told %s: it had been told the same less than presence.debounce ago. It is told when that time is over, if it is still true.", e.ConferenceID, what)
	case notice.Summarised:
		m.Text = fmt.Sprintf("The conference %s was not told %s: it had %d users online, more than presence.detail_max.", e.ConferenceID, what, e.Online)
	default:
		m.Text = fmt.Sprintf("%s about him in the conference %s: %s.", e.Event, e.ConferenceID, e.State)
	}
	l.add(m)
}

// each calls do with the newest rows of the log, as many as a line has moments.
func (l *line) each(ctx context.Context, f notice.Filter, do func(notice.Entry)) error {
	f.From, f.To, f.Limit = l.From, l.To, logPage
	for range momentsMax / logPage {
		items, next, err := l.notices.Find(ctx, f)
		if err != nil {
			return err
		}
		for _, e := range items {
			do(e)
		}
		if f.Cursor = next; next == "" {
			return nil
		}
	}
	l.cut = true
	return nil
}

// addDeliveries tells what became of what was said to him.
func (l *line) addDeliveries(ctx context.Context) error {
	list, err := l.notices.DeliveriesOf(ctx, notice.HistoryQuery{UserID: l.UserID, ConferenceID: l.ConferenceID, From: l.From, To: l.To, Limit: momentsMax})
	if err != nil {
		return err
	}
	l.cut = l.cut || len(list) == momentsMax
	for _, d := range list {
		l.addDelivery(d)
	}
	return nil
}

func (l *line) addDelivery(d notice.Delivered) {
	m := Moment{ConferenceID: d.ConferenceID, NoticeID: d.NoticeID, Event: d.Event, SessionID: d.SessionID, ClientType: d.ClientType, DeviceID: d.DeviceID, IP: d.IP}
	say := func(at int64, state, text string) {
		m.At, m.Kind, m.State, m.Text = at, "notice."+state, state, "The notice "+d.NoticeID+" ("+d.Event+") "+text+"."
		l.add(m)
	}
	if d.AckedAt != 0 {
		say(d.AckedAt, notice.Acked, "was acknowledged")
	}
	if d.ReadAt != 0 {
		say(d.ReadAt, notice.Read, "was read")
	}
	switch d.State {
	case "":
		say(d.At, notice.Sent, "went to all; what became of it for him is noted when he acknowledges or reads it, which he has not done"+l.whereHeWas(d))
	case notice.Queued:
		say(d.At, notice.Queued, "waits for him: no device of his has got it yet"+l.whereHeWas(d))
	case notice.Sent:
		say(d.At, notice.Sent, "was sent to "+device(d.DeviceID, d.ClientType)+", which has not acknowledged it")
	case notice.Expired:
		say(d.At, notice.Expired, "expired before he got it"+l.whereHeWas(d))
	case notice.Unreached:
		say(d.At, notice.Unreached, "did not reach him"+l.whereHeWas(d))
	case notice.Recalled:
		say(d.At, notice.Recalled, "was taken back")
	case notice.Acked:
		if d.AckedAt == 0 {
			say(d.At, d.State, "was acknowledged")
		}
	case notice.Read:
		if d.ReadAt == 0 {
			say(d.At, d.State, "was read")
		}
	default:
		say(d.At, d.State, "is in the state "+d.State)
	}
}

// whereHeWas says whether he could have got a notice when it was made.
func (l *line) whereHeWas(d notice.Delivered) string {
	when := "; when it was made, at " + clock(d.CreatedAt) + ", he "
	switch {
	case !l.there(d.CreatedAt, d.ConferenceID) && d.ConferenceID != "":
		return when + "had no session in the conference " + d.ConferenceID
	case !l.there(d.CreatedAt, d.ConferenceID) && l.ConferenceID != "":
		return when + "had no session in the conference " + l.ConferenceID
	case !l.there(d.CreatedAt, d.ConferenceID):
		return when + "had no session"
	}
	return when + "had a session"
}

// pushed is what a log row of a pushed tree says in each of its forms.
type pushed struct {
	Version  int64    `json:"version"`
	Sections []string `json:"sections"` // missing in a whole tree
}

// addTrees tells which versions of the tree were pushed, and whether he was there.
func (l *line) addTrees(ctx context.Context) error {
	if l.ConferenceID == "" {
		return nil
	}
	return l.each(ctx, notice.Filter{ConferenceID: l.ConferenceID, Event: "note_tree", SendType: "1"}, func(e notice.Entry) {
		var p pushed
		_ = json.Unmarshal(e.Message, &p) // a row that says less is told with less
		text := fmt.Sprintf("Version %d of the tree was pushed", p.Version)
		if len(p.Sections) > 0 {
			text += " (" + strings.Join(p.Sections, ", ") + ")"
		}
		if l.there(e.CreatedAt, l.ConferenceID) {
			text += " while he was there."
		} else {
			text += " while he was not there."
		}
		l.add(Moment{At: e.CreatedAt, Kind: "tree.pushed", Text: text, ConferenceID: l.ConferenceID, NoticeID: e.ID, Event: e.Event, Version: p.Version})
	})
}
