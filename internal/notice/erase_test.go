package notice

import (
	"encoding/json"
	"testing"
	"time"

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
