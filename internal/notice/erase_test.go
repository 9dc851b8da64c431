package notice

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Who is erased leaves no name, address or device behind, in no row, and what others said is not touched.
func TestErase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		came := change(t, n, true, 2)
		e := Entry{ID: id.New(), SenderID: "bert", SenderName: "Bert", FromIP: "10.0.0.9", Event: "vote", State: Sent, Message: json.RawMessage(`{"userName":"Anna"}`)}
		e.Deliveries = []Delivery{{UserID: anna, State: "sent", At: 1, SessionID: "s", ClientType: "web", DeviceID: "d", IP: "10.0.0.1"}}
		put(t, n, e, Entry{SenderID: anna, Event: OnlineNotice, State: Sent, Message: json.RawMessage(`{broken`)})
		if err := n.Erase(t.Context(), anna); err != nil {
			t.Fatal(err)
		}
		got, err := n.Get(t.Context(), came[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		var message map[string]any
		if err := json.Unmarshal(got.Message, &message); err != nil || message["userName"] != "" || message["userId"] != anna || got.SenderName != "" {
			t.Errorf("her own row: %q %s, %v", got.SenderName, got.Message, err)
		}
		items, _, err := n.Deliveries(t.Context(), e.ID, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, items, []Delivery{{UserID: anna, State: "sent", At: 1, SessionID: "s", ClientType: "web"}})
		other, err := n.Get(t.Context(), e.ID)
		if err != nil || other.SenderName != "Bert" || other.FromIP != "10.0.0.9" || string(other.Message) != string(e.Message) {
			t.Errorf("another's row: %+v, %v", other, err)
		}
	})
}

// A user with many rows is erased in short transactions, or in that of the caller and then with it or not at all.
func TestEraseMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		const rows = 2*eraseBatch + 1
		var entries []Entry
		for i := range rows {
			entries = append(entries, Entry{ID: at(int64(i)), SenderID: anna, SenderName: "Anna", FromIP: "10.0.0.1", Event: OnlineNotice, State: Sent, Message: json.RawMessage(`{"userName":"Anna"}`),
				Deliveries: []Delivery{{UserID: anna, State: Sent, IP: "10.0.0.1"}}})
		}
		put(t, n, entries...)
		named := func() (count int) {
			for _, s := range []string{"notices WHERE message LIKE '%Anna%' OR sender_name <> '' OR from_ip <> ''", "notice_deliveries WHERE ip <> ''"} {
				var some int
				if err := db.SQL().QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+s).Scan(&some); err != nil {
					t.Fatal(err)
				}
				count += some
			}
			return count
		}
		undone := errors.New("undone")
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := n.Erase(ctx, anna); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) || named() != 2*rows {
			t.Fatalf("undone: %v, %d rows have her name", err, named())
		}
		before := db.Transactions()
		if err := n.Erase(t.Context(), anna); err != nil || named() != 0 {
			t.Errorf("%v, %d rows have her name", err, named())
		}
		if got := db.Transactions() - before; got != 6 {
			t.Errorf("%d transactions", got)
		}
	})
}

// The name stood on in what clients are shown: in the notice, in the envelope of another, and in a message from user to
// user. It goes from there, while what was said, numbers and all, stays to the byte.
func TestEraseFromMessages(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		const data = `{ "senderName":"Anna", "n":1.10, "big":12345678901234567890.0, "a":[ 1e2 ] }`
		one, two, three, four, five := at(1), at(2), at(3), at(4), at(5)
		shown := func(noticeID, name, extra string) json.RawMessage {
			return json.RawMessage(`{"id":"` + noticeID + `","senderName":"` + name + `"` + extra + `,"fromName":"` + name + `"}`)
		}
		entry := func(noticeID, event string, message, envelope json.RawMessage) Entry {
			return Entry{ID: noticeID, SenderID: anna, SenderName: "Anna", Event: event, State: Sent, Message: message, Envelope: envelope}
		}
		name := `A\"nna \u003c`
		put(t, n,
			entry(one, "notice", shown(one, name, `,"data":`+data), nil),
			entry(two, "exam", json.RawMessage(data), shown(two, name, "")),
			entry(three, "direct_message", shown(three, name, `,"body":`+data), shown(three, name, "")),
			entry(four, "notice", json.RawMessage(data), nil), // pushed by a backend in its own shape
			entry(five, "chat message", json.RawMessage(data), nil),
		)
		check(t, n.Erase(t.Context(), anna))
		check(t, n.Erase(t.Context(), anna))
		for _, want := range []Entry{
			{ID: one, Message: json.RawMessage(`{"id":"` + one + `","senderName":"","data":` + data + `,"fromName":"` + name + `"}`)},
			{ID: two, Message: json.RawMessage(data), Envelope: json.RawMessage(`{"id":"` + two + `","senderName":"","fromName":"` + name + `"}`)},
			{ID: three, Message: json.RawMessage(`{"id":"` + three + `","senderName":"` + name + `","body":` + data + `,"fromName":""}`), Envelope: json.RawMessage(`{"id":"` + three + `","senderName":"","fromName":"` + name + `"}`)},
			{ID: four, Message: json.RawMessage(data)},
			{ID: five, Message: json.RawMessage(data)},
		} {
			got, err := n.Get(t.Context(), want.ID)
			check(t, err)
			if string(got.Message) != string(want.Message) || string(got.Envelope) != string(want.Envelope) || got.SenderName != "" {
				t.Errorf("%s is\n%s\n%s, want\n%s\n%s", want.ID, got.Message, got.Envelope, want.Message, want.Envelope)
			}
		}
	})
}
