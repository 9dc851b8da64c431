package notice

import (
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// made returns an entry that was made at a time.
func made(ms int64, event string, to ...Delivery) Entry {
	return Entry{ID: id.Floor(time.UnixMilli(ms))[:10] + id.New()[10:], Event: event, State: Sent, CreatedAt: ms, Deliveries: to}
}

// What became of notices for one user: his own and those to all, of a time, in their order.
func TestDeliveriesOf(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		one := made(1000, "one", Delivery{UserID: anna, State: Queued, At: 1001})
		two := made(2000, "two", Delivery{UserID: anna, State: Sent, At: 2002, SessionID: "s", ClientType: "web", DeviceID: "d", IP: "10.0.0.1"}, Delivery{UserID: "bert", State: Sent, At: 1})
		two.ConferenceID = "42"
		other := made(2500, "other", Delivery{UserID: anna, State: Sent, At: 2502})
		other.ConferenceID = "43"
		general, excepted, noted := made(3000, "general"), made(3100, "excepted"), made(3200, "noted", Delivery{UserID: anna, State: Acked, At: 3300})
		put(t, n, one, two, other, general, excepted, noted, made(3500, "another's", Delivery{UserID: "bert", State: Sent, At: 1}))
		for _, statement := range []string{
			"UPDATE notices SET to_all = 1 WHERE event IN ('general', 'excepted', 'noted')",
			"UPDATE notices SET except_users = '[\"anna\"]' WHERE event = 'excepted'",
			"UPDATE notice_deliveries SET acked_at = 3300 WHERE at = 3300",
		} {
			if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		want := []Delivered{
			{NoticeID: one.ID, Event: "one", CreatedAt: 1000, State: Queued, At: 1001},
			{NoticeID: two.ID, Event: "two", ConferenceID: "42", CreatedAt: 2000, State: Sent, At: 2002, SessionID: "s", ClientType: "web", DeviceID: "d", IP: "10.0.0.1"},
			{NoticeID: general.ID, Event: "general", CreatedAt: 3000, ToAll: true, At: 3000},
			{NoticeID: noted.ID, Event: "noted", CreatedAt: 3200, ToAll: true, State: Acked, At: 3300, AckedAt: 3300},
		}
		for _, c := range []struct {
			q    HistoryQuery
			want []Delivered
		}{
			{HistoryQuery{UserID: anna, ConferenceID: "42"}, want},
			{HistoryQuery{UserID: anna, ConferenceID: "42", From: 2000, To: 3000}, want[1:3]},
			{HistoryQuery{UserID: anna, ConferenceID: "42", Limit: 2}, want[2:]},
			{HistoryQuery{UserID: anna, From: 3001, To: 3199}, nil},
		} {
			got, err := n.DeliveriesOf(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				got = nil
			}
			expect(t, got, c.want)
		}
		if all, err := n.DeliveriesOf(t.Context(), HistoryQuery{UserID: anna}); err != nil || len(all) != 5 {
			t.Errorf("of all conferences: %+v, %v", all, err)
		}
	})
}
