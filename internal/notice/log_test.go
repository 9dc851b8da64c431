package notice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

func put(t *testing.T, n *Notices, entries ...Entry) {
	t.Helper()
	if err := n.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

// What is written comes back as it was: every digit of the message, and the recipients with their addresses.
func TestAppendAndGet(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		e := Entry{
			ID: id.New(), ConferenceID: room, SenderID: anna, SenderName: "Änne 安娜", Actor: "backend", Event: "vote", Category: "remind", Label: "l",
			SendType: "2", Message: json.RawMessage(`{"n":1234567890123456789,"s":"<\t"}`), Audience: 2, Sent: 1, Acked: 1, Read: 1, FromIP: "::1", Online: 9,
			State: Sent, CreatedAt: 7,
		}
		e.Deliveries = []Delivery{{UserID: "8", State: Sent, At: 7, SessionID: "s", ClientType: "web", DeviceID: "d", IP: "10.0.0.1"}, {UserID: "7", State: Unreached, At: 7}}
		put(t, n, e, e) // twice, as when an answer was lost
		got, err := n.Get(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := e
		want.Deliveries, want.Recipients, want.ToIP = nil, []string{"7", "8"}, map[string]string{"8": "10.0.0.1"}
		expect(t, got, want)
		items, next, err := n.Deliveries(t.Context(), e.ID, "", 0)
		if err != nil || next != "" {
			t.Fatal(next, err)
		}
		expect(t, items, []Delivery{e.Deliveries[1], e.Deliveries[0]})
	})
}

// An entry joins the transaction of the fact that it is about, and goes with it.
func TestAppendJoins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		broken := errors.New("broken")
		err := db.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error {
			if err := n.Append(ctx, []Entry{{Event: "vote", State: Sent}}); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if rows := log(t, n); len(rows) != 0 {
			t.Errorf("in the log: %v", rows)
		}
	})
}

// A page of deliveries follows the other, and of many recipients an entry shows 100.
func TestManyDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		e := Entry{ID: id.New(), Event: "vote", State: Sent}
		for i := range 450 {
			e.Deliveries = append(e.Deliveries, Delivery{UserID: fmt.Sprintf("用%03d", i), State: "sent", IP: "10.0.0.1"})
		}
		put(t, n, e, Entry{Event: "vote", State: Sent, Deliveries: []Delivery{{UserID: "zoe", State: "sent"}}})
		var users []string
		for cursor, more := "", true; more; more = cursor != "" {
			items, next, err := n.Deliveries(t.Context(), e.ID, cursor, 200)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range items {
				users = append(users, d.UserID)
			}
			cursor = next
		}
		if len(users) != 450 || users[0] != "用000" || users[449] != "用449" {
			t.Errorf("%d users", len(users))
		}
		items, _, err := n.Find(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(items) != 2 || len(items[1].Recipients) != 100 || len(items[1].ToIP) != 100 {
			t.Errorf("%d entries, %d recipients, %d addresses", len(items), len(items[1].Recipients), len(items[1].ToIP))
		}
		expect(t, items[0].Recipients, []string{"zoe"})
	})
}

// Texts that no column takes are made to fit, and a message that somebody else broke is left out.
func TestUnfitTexts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		e := Entry{ID: id.New(), Event: "vote", State: Sent, SenderName: strings.Repeat("安", 300) + "\xff", Message: json.RawMessage(`{broken`)}
		put(t, n, e)
		got, err := n.Get(t.Context(), e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.SenderName != strings.Repeat("安", 255) || got.Message != nil {
			t.Errorf("name of %d bytes, message %s", len(got.SenderName), got.Message)
		}
	})
}

// What is not there, or was never an ID, is not found; a cursor of one's own making is refused.
func TestUnknownNotice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		for _, noticeID := range []string{"", "1", "安", id.New(), strings.Repeat("I", 26), "'\"\x00"} {
			if _, err := n.Get(t.Context(), noticeID); !fault.Is(err, fault.NotFound) {
				t.Errorf("get %q: %v", noticeID, err)
			}
			if _, _, err := n.Deliveries(t.Context(), noticeID, "", 0); !fault.Is(err, fault.NotFound) {
				t.Errorf("deliveries of %q: %v", noticeID, err)
			}
		}
		for _, cursor := range []string{"!", "4", "Jw", "_w"} {
			if _, _, err := n.Deliveries(t.Context(), id.New(), cursor, 0); fault.Of(err) == nil || fault.Of(err).Code != "bad_cursor" {
				t.Errorf("deliveries after %q: %v", cursor, err)
			}
		}
	})
}
