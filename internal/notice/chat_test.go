package notice

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The chat of a conference is what was said there, and that of the lobby what was said in none; nothing else that
// was sent there belongs to it, and what was said comes back as it was.
func TestChatHistory(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		for i := range 5 {
			say := Entry{ID: at(int64(10 * i)), CreatedAt: int64(10*i + 5), Event: ChatMessage, ConferenceID: room, SenderID: anna, SenderName: "Anna", State: Sent, Message: json.RawMessage(fmt.Sprintf(`{"n": %d.0}`, i))}
			lobby := Entry{ID: at(int64(10*i + 1)), CreatedAt: 7, Event: ChatMessage, State: Sent, Message: json.RawMessage(`"lobby"`)}
			put(t, n, say, lobby, Entry{ID: at(int64(10*i + 2)), Event: "vote", ConferenceID: room, State: Sent}, Entry{ID: at(int64(10*i + 3)), Event: ChatMessage, ConferenceID: room + "x", State: Sent})
		}
		line := func(i int) ChatLine {
			return ChatLine{ID: at(int64(10 * i)), UserID: anna, UserName: "Anna", Body: json.RawMessage(fmt.Sprintf(`{"n": %d.0}`, i)), At: int64(10*i + 5)}
		}
		for _, c := range []struct {
			before string
			limit  int
			want   []ChatLine
			next   string
		}{
			{"", 0, []ChatLine{line(4), line(3), line(2), line(1), line(0)}, ""},
			{"", 2, []ChatLine{line(4), line(3)}, at(30)},
			{at(30), 2, []ChatLine{line(2), line(1)}, at(10)},
			{at(10), 2, []ChatLine{line(0)}, ""},
			{at(25), 1, []ChatLine{line(2)}, at(20)},
			{at(0), 5, []ChatLine{}, ""},
		} {
			got, next, err := n.ChatHistory(t.Context(), room, c.before, c.limit)
			if err != nil || next != c.next {
				t.Errorf("before %q: next %q, %v; want %q", c.before, next, err, c.next)
			}
			expect(t, got, c.want)
		}
		got, _, err := n.ChatHistory(t.Context(), "", "", 1)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, got, []ChatLine{{ID: at(41), Body: json.RawMessage(`"lobby"`), At: 7}})
		for _, c := range [][2]string{{room, "x"}, {room, "' OR 1=1 --"}, {"\xff", ""}, {"a\x00", ""}} {
			if _, _, err := n.ChatHistory(t.Context(), c[0], c[1], 0); !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", c, err)
			}
		}
	})
}

// What is not JSON, because somebody else wrote it, is left out of its line and does not spoil the others.
func TestChatHistoryOfBrokenRows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := open(db, time.Minute)
		put(t, n, Entry{ID: at(1), CreatedAt: 1, Event: ChatMessage, State: Sent}, Entry{ID: at(2), CreatedAt: 2, Event: ChatMessage, State: Sent, Message: json.RawMessage(`"b"`)})
		if _, err := db.SQL().ExecContext(t.Context(), "UPDATE notices SET message = '{x' WHERE id = '"+at(1)+"'"); err != nil {
			t.Fatal(err)
		}
		got, _, err := n.ChatHistory(t.Context(), "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, got, []ChatLine{{ID: at(2), Body: json.RawMessage(`"b"`), At: 2}, {ID: at(1), At: 1}})
		text, err := json.Marshal(got[1])
		if want := `{"id":"` + at(1) + `","userId":"","userName":"","body":null,"at":1}`; err != nil || string(text) != want {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
	})
}
