package notice

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"rollcall/internal/store"
)

// million is a log of a busy service: half of it is of one conference, and three users are told a fifth of it each.
type million struct{ rows int }

const (
	millionStart = int64(1_700_000_000_000) // when the first row was written
	millionPace  = int64(1000)              // milliseconds between two rows
	// needleBack is how far from the newest row the only one with the word "needle" lies.
	needleBack = 30_000
)

// entry makes row i, always the same.
func (m million) entry(i int) Entry {
	r := rand.New(rand.NewPCG(uint64(i), 9))
	ms := m.time(i)
	e := Entry{ID: at(ms), CreatedAt: ms, State: Sent, Event: "online_notice", Category: "system", SendType: "1", SenderID: fmt.Sprint("u", r.IntN(20_000)), FromIP: "10.1.2.3", Online: 7, Audience: 2, Sent: 2}
	hot := r.IntN(2) == 0
	switch n := r.IntN(500); {
	case hot:
		e.ConferenceID = "hot"
	case n >= 100:
		e.ConferenceID = fmt.Sprint("c", n)
	}
	switch n := r.IntN(1000); {
	case n < 300:
		e.Event, e.Category, e.SendType = "vote", "remind", "2"
	case n < 400:
		e.Event, e.SendType = "chat message", ""
	case n < 600 && !hot:
		e.Event, e.State = "elsewhere", Suppressed
	}
	switch n := r.IntN(m.rows); {
	case n < 20:
		e.Label = "gold"
	case n < m.rows/10:
		e.Label = fmt.Sprint("label ", n%5000)
	}
	if hot && r.IntN(3) == 0 {
		e.SenderID = "boss"
	}
	e.SenderName = "Name of " + e.SenderID
	word := fmt.Sprintf("%x %x", r.Uint64(), r.Uint64())
	if i == m.rows-min(needleBack, m.rows) {
		word = "Needle"
	}
	e.Message = json.RawMessage(fmt.Sprintf(`{"id":"%s","title":"Notice %d","body":"%s %s","data":{"word":"%s","number":%d}}`, e.ID, i, "The Meeting will begin in a few Minutes, please be seated.", "会议即将开始，请就座。", word, i))
	for _, user := range []string{fmt.Sprint("w", i%1000), []string{"fan1", "fan2", "fan3", e.SenderID, e.SenderID}[r.IntN(5)]} {
		e.Deliveries = append(e.Deliveries, Delivery{UserID: user, State: "acked", At: ms, SessionID: e.ID, ClientType: "web", DeviceID: "d", IP: "10.9.8.7"})
	}
	return e
}

// at returns the ID of row i.
func (m million) at(i int) string { return at(m.time(i)) }

func (m million) time(i int) int64 { return millionStart + int64(i)*millionPace }

// fill writes the whole log.
func (m million) fill(t *testing.T, db *store.DB) {
	t.Helper()
	const stride = 2000 // rows of one statement
	for start := 0; start < m.rows; start += stride {
		var notices, deliveries strings.Builder
		for i := start; i < min(start+stride, m.rows); i++ {
			e := m.entry(i)
			fmt.Fprintf(&notices, ",('%s','%s','%s','%s','%s','%s','%s','%s','%s',2,2,'%s',7,'%s',%d)", e.ID, e.ConferenceID, e.SenderID, e.SenderName, e.Event, e.Category, e.Label, e.SendType, e.Message, e.FromIP, e.State, e.CreatedAt)
			for _, d := range e.Deliveries {
				fmt.Fprintf(&deliveries, ",('%s','%s','%s',%d,'%s','web','d','%s')", e.ID, d.UserID, d.State, d.At, d.SessionID, d.IP)
			}
		}
		for _, s := range []string{
			"INSERT INTO notices (id, conference_id, sender_id, sender_name, event, category, label, send_type, message, audience, sent, from_ip, online, state, created_at) VALUES " + notices.String()[1:],
			"INSERT INTO notice_deliveries (notice_id, user_id, state, at, session_id, client_type, device_id, ip) VALUES " + deliveries.String()[1:],
		} {
			if _, err := db.SQL().ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
}
