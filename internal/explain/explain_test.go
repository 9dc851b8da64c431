package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// desk is an Explainer on a database, and what writes its past.
type desk struct {
	*Explainer
	t       *testing.T
	db      *store.DB
	notices *notice.Notices
	begin   int64 // of the story, in milliseconds
}

func open(t *testing.T, db *store.DB) *desk {
	reg := prometheus.NewRegistry()
	n := notice.New(notice.Config{DB: db, Window: time.Second, DetailMax: 200, Log: slog.New(slog.DiscardHandler), Metrics: reg})
	p := presence.New(presence.Config{DB: db, Node: "n1", Grace: 5 * time.Second, Metrics: reg})
	return &desk{Explainer: New(p, n, 5*time.Second), t: t, db: db, notices: n, begin: time.Now().Add(-time.Hour).UnixMilli()}
}

// at is a time of the story, given in seconds.
func (d *desk) at(second int) int64 { return d.begin + int64(second)*1000 }

// session writes one of user 7 in conference 42, from and to in seconds; to 0 is open.
func (d *desk) session(node string, from, to int, why presence.Reason) {
	d.t.Helper()
	var closed *int64
	if to != 0 {
		ms := d.at(to)
		closed = &ms
	}
	err := d.db.Write(d.t.Context(), func(_ context.Context, tx *gorm.DB) error {
		return tx.Exec(`INSERT INTO presence_sessions (id, conference_id, user_id, client_type, device_id, ip, node_id, epoch, opened_at, closed_at, reason)
			VALUES (?, '42', '7', 'web', 'd1', '192.0.2.7', ?, 1, ?, ?, ?)`, id.New(), node, d.at(from), closed, why).Error
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// say writes a row of the log that was made at a second.
func (d *desk) say(second int, e notice.Entry) string {
	d.t.Helper()
	e.CreatedAt = d.at(second)
	e.ID = id.Floor(time.UnixMilli(e.CreatedAt))[:10] + id.New()[10:]
	if e.State == "" {
		e.State = notice.Sent
	}
	if err := d.notices.Append(d.t.Context(), []notice.Entry{e}); err != nil {
		d.t.Fatal(err)
	}
	return e.ID
}

func (d *desk) to7(second int, state string) notice.Entry {
	return notice.Entry{ConferenceID: "42", Event: "remind", State: notice.Sent,
		Deliveries: []notice.Delivery{{UserID: "7", State: state, At: d.at(second), SessionID: "s", ClientType: "web", DeviceID: "d1"}}}
}

// brief tells moments as "second kind".
func (d *desk) brief(moments []Moment) (out []string) {
	for _, m := range moments {
		out = append(out, fmt.Sprintf("%d %s", (m.At-d.begin)/1000, m.Kind))
	}
	return out
}

// A meeting with a crash in the middle: the line tells it, and why he did not get what was said meanwhile.
func TestLine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.session("node-a", 0, 60, presence.NodeLost)
		d.session("node-b", 100, 130, presence.Lost)
		d.session("node-b", 132, 200, presence.Left)
		d.say(1, notice.Entry{ConferenceID: "42", SenderID: "7", Event: notice.OnlineNotice, Audience: 3})
		d.say(71, notice.Entry{ConferenceID: "42", SenderID: "7", Event: notice.OfflineNotice, Audience: 3})
		d.say(101, notice.Entry{ConferenceID: "42", SenderID: "7", Event: notice.OnlineNotice, State: notice.Suppressed})
		d.say(102, notice.Entry{ConferenceID: "43", SenderID: "7", Event: notice.OnlineNotice})
		d.say(80, d.to7(80, notice.Queued))
		d.say(110, d.to7(111, notice.Acked))
		d.say(120, notice.Entry{ConferenceID: "42", Event: "remind", Deliveries: []notice.Delivery{{UserID: "8", State: notice.Sent, At: 1}}})
		d.say(90, notice.Entry{ConferenceID: "42", Event: "note_tree", SendType: "1", Message: json.RawMessage(`{"version":17,"size":9,"sections":["timer"]}`)})
		d.say(150, notice.Entry{ConferenceID: "42", Event: "note_tree", SendType: "1", Message: json.RawMessage(`{"version":18,"timer":{}}`)})
		line, err := d.Line(t.Context(), Query{UserID: "7", ConferenceID: "42"})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"0 session.opened", "0 state.online", "1 notice.sent", "60 session.closed", "60 state.reconnecting", "65 state.offline", "71 notice.sent",
			"80 notice.queued", "90 tree.pushed", "100 session.opened", "100 state.online", "101 notice.suppressed", "111 notice.acked",
			"130 session.closed", "130 state.reconnecting", "132 session.opened", "132 state.online", "150 tree.pushed", "200 session.closed", "200 state.offline",
		}
		if diff := cmp.Diff(want, d.brief(line)); diff != "" {
			t.Fatalf("line (-want +got):\n%s", diff)
		}
		for i, part := range map[int]string{
			3: "The node node-a died (found by its heartbeat); the session of the device d1 (web) was closed", 5: "did not come back within 5s",
			7: "he had no session in the conference 42", 8: "Version 17 of the tree was pushed (timer) while he was not there", 17: "Version 18 of the tree was pushed while he was there",
			11: "was not told that he came online", 16: "again, within his grace", 19: "closed (left)",
		} {
			if !strings.Contains(line[i].Text, part) {
				t.Errorf("%s: %s, want %q", line[i].Kind, line[i].Text, part)
			}
		}
		if m := line[3]; m.Node != "node-a" || m.DeviceID != "d1" || m.IP != "192.0.2.7" || m.Reason != "node_lost" || m.SessionID == "" {
			t.Errorf("the crash: %+v", m)
		}
		d.checkRanges(line)
	})
}

// checkRanges asks for parts of the story whose whole is line.
func (d *desk) checkRanges(line []Moment) {
	d.t.Helper()
	part, err := d.Line(d.t.Context(), Query{UserID: "7", ConferenceID: "42", From: d.at(62), To: d.at(79)})
	if diff := cmp.Diff([]string{"65 state.offline", "71 notice.sent"}, d.brief(part)); err != nil || diff != "" {
		d.t.Errorf("a part (-want +got):\n%s%v", diff, err)
	}
	all, err := d.Line(d.t.Context(), Query{UserID: "7"})
	if err != nil || len(all) != len(line)-2+1 { // without trees, with what was said in conference 43
		d.t.Errorf("without a conference: %v, %v", d.brief(all), err)
	}
	if nobody, err := d.Line(d.t.Context(), Query{UserID: "9", ConferenceID: "42", To: d.at(50)}); err != nil || len(nobody) != 0 {
		d.t.Errorf("of nobody: %v, %v", nobody, err)
	}
	for _, q := range []Query{{ConferenceID: "42"}, {UserID: "7", From: 5, To: 4}} {
		if _, err := d.Line(d.t.Context(), q); !fault.Is(err, fault.Invalid) {
			d.t.Errorf("%+v: %v", q, err)
		}
	}
}

// Every state of a delivery is told, at its time, and in words.
func TestDeliveryStates(t *testing.T) {
	d := open(t, storetest.Open(t, store.SQLite))
	words := map[string]string{
		notice.Queued: "waits for him", notice.Sent: "was sent to the device d1 (web)", notice.Acked: "was acknowledged", notice.Read: "was read",
		notice.Expired: "expired before", notice.Unreached: "did not reach him", notice.Recalled: "was taken back", "odd": "is in the state odd",
	}
	for state := range words {
		d.say(10, d.to7(20, state))
	}
	line, err := d.Line(t.Context(), Query{UserID: "7", ConferenceID: "42"})
	if err != nil || len(line) != len(words) {
		t.Fatalf("%+v, %v", line, err)
	}
	for _, m := range line {
		if m.Kind != "notice."+m.State || !strings.Contains(m.Text, words[m.State]) || m.At != d.at(20) {
			t.Errorf("%+v", m)
		}
	}
}

// A line is bounded: the newest moments are there, and it says that older ones are not.
func TestLineIsCut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.session("node-a", 0, 0, "")
		var entries []notice.Entry
		for i := range momentsMax + 50 {
			e := notice.Entry{ID: id.Floor(time.UnixMilli(d.at(i)))[:10] + id.New()[10:], ConferenceID: "42", Event: "note_tree", SendType: "1", State: notice.Sent,
				CreatedAt: d.at(i), Message: json.RawMessage(fmt.Sprintf(`{"version":%d}`, i))}
			entries = append(entries, e)
		}
		if err := d.notices.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		line, err := d.Line(t.Context(), Query{UserID: "7", ConferenceID: "42"})
		if err != nil || len(line) != momentsMax {
			t.Fatalf("%d moments, %v", len(line), err)
		}
		if line[0].Kind != noteKind || line[1].Version != 51 || line[momentsMax-1].Version != momentsMax+49 {
			t.Errorf("from %+v %+v to %+v", line[0], line[1], line[momentsMax-1])
		}
	})
}
