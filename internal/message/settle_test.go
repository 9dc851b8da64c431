package message

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/notice"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// unreadOf reads the total of a push_message.
func unreadOf(t *testing.T, e heard) (total float64, items int) {
	t.Helper()
	p := read(t, e.args[0])
	if p["more"] == nil {
		t.Errorf("no more in %v", p)
	}
	return p["unread"].(map[string]any)["total"].(float64), len(p["items"].([]any))
}

// Three devices, one of them away: what is read on one shows on the other, and the third gets one push_message with the
// true count when it comes.
func TestThreeDevices(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		n := storetest.Size(500, 120)
		phone, tab := b.sit("anna", "42", "app"), b.sit("anna", "7", "web")
		var ids []string
		for i := range n {
			category := []string{"system", "remind", "mailbox"}[i%3]
			ids = append(ids, b.post(Notice{Users: []string{"anna"}, Category: category}).ID)
		}
		b.hears(phone, "notice", n)
		b.hears(tab, "notice", n)
		start := time.Now()
		left, err := b.Settle(t.Context(), phone, true, Choice{IDs: ids[:20]})
		if err != nil || left.Total != n-20 {
			t.Fatalf("left on the phone: %+v, %v", left, err)
		}
		if total, items := unreadOf(t, b.hears(tab, "push_message", 1)[0]); total != float64(n-20) || items != 0 {
			t.Errorf("the tab is told of %v, %d items", total, items)
		}
		took := time.Since(start)
		if n := len(b.hall.of(phone.SessionID, "push_message")); n != 0 {
			t.Errorf("the phone is told %d times of what it did itself", n)
		}
		if left, err := b.Settle(t.Context(), tab, true, Choice{IDs: ids[:20]}); err != nil || left.Total != n-20 {
			t.Errorf("once more: %+v, %v", left, err)
		}
		if n := len(b.hall.of(phone.SessionID, "push_message")); n != 0 {
			t.Errorf("what changes nothing is told %d times", n)
		}
		late := b.arrive("anna", "", "pad")
		e := b.hears(late, "push_message", 1)[0]
		p := read(t, e.args[0])
		if total, items := unreadOf(t, e); total != float64(n-20) || items != pushItems || p["more"] != true {
			t.Errorf("the third device is told of %v, %d items, more %v", total, items, p["more"])
		}
		if first := p["items"].([]any)[0].(map[string]any); first["id"] != ids[n-1] {
			t.Errorf("the newest is not first: %v", first)
		}
		b.settled()
		b.hears(late, "", 1)
		left, err = b.Settle(t.Context(), late, true, Choice{All: true, Category: "remind"})
		if err != nil || left.ByCategory["remind"] != 0 || left.Total == 0 {
			t.Errorf("after reading a category: %+v, %v", left, err)
		}
		if left, err = b.ReadFor(t.Context(), "anna", Choice{All: true}); err != nil || left.Total != 0 {
			t.Errorf("after reading all: %+v, %v", left, err)
		}
		for _, s := range []hall.Socket{phone, tab, late} {
			list := b.hall.of(s.SessionID, "push_message")
			if total, _ := unreadOf(t, list[len(list)-1]); total != 0 {
				t.Errorf("%s was last told of %v", s.ClientType, total)
			}
		}
		storetest.Show(t, "%d notices on three devices: every one there, counts exact, the read state on the other device after %v", n, took.Round(time.Millisecond))
	})
}

// Each device is told what it would see itself: not what is for another conference or another type of client.
func TestCountsAsEachSeesThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		a, c := b.sit("anna", "42", "app"), b.sit("anna", "7", "web")
		both := b.post(Notice{Users: []string{"anna"}})
		b.post(Notice{Users: []string{"anna"}, ConferenceID: "42"})
		b.post(Notice{Users: []string{"anna"}, ClientTypes: []string{"app"}})
		if _, err := b.ReadFor(t.Context(), "anna", Choice{IDs: []string{both.ID}}); err != nil {
			t.Fatal(err)
		}
		x, _ := unreadOf(t, b.hears(a, "push_message", 1)[0])
		y, _ := unreadOf(t, b.hears(c, "push_message", 1)[0])
		if x != 2 || y != 0 {
			t.Errorf("the app is told of %v, the web page of %v", x, y)
		}
		if u, err := b.Login(t.Context(), c, false, true); err != nil || u.Total != 0 {
			t.Errorf("login: %+v, %v", u, err)
		}
		if _, items := unreadOf(t, b.hears(c, "push_message", 2)[1]); items != 1 {
			t.Errorf("login with all shows %d items", items)
		}
		if _, err := b.Login(t.Context(), c, false, false); err != nil {
			t.Error(err)
		}
		if _, items := unreadOf(t, b.hears(c, "push_message", 3)[2]); items != 0 { // also when nothing is unread
			t.Errorf("login shows %d items", items)
		}
	})
}

// Had is not read: it ends the resending, the backend hears of each that it wanted to hear of, and the counts stay.
func TestAckByCall(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		s := b.sit("anna", "", "web")
		must := b.post(Notice{Users: []string{"anna"}, RequireAck: true, Category: "remind", Conference: ""})
		all := b.post(Notice{All: true, RequireAck: true})
		may := b.post(Notice{Users: []string{"anna"}})
		left, err := b.Settle(t.Context(), s, false, Choice{IDs: []string{must.ID, must.ID, may.ID}})
		if err != nil || left.Total != 3 || b.repeats.len() != 1 {
			t.Errorf("got %+v, %v, %d are sent again", left, err, b.repeats.len())
		}
		for range 2 {
			if left, err = b.Settle(t.Context(), s, false, Choice{All: true}); err != nil || left.Total != 3 {
				t.Errorf("all: %+v, %v", left, err)
			}
		}
		for _, noticeID := range []string{must.ID, all.ID, may.ID} {
			if d := b.became(noticeID, "anna"); d.State != notice.Acked || d.AckedAt == 0 {
				t.Errorf("the ledger: %+v", d)
			}
		}
		told := map[any]int{}
		for _, data := range b.told("notice.acked") {
			told[data["noticeId"]]++
		}
		if len(told) != 2 || told[must.ID] != 1 || told[all.ID] != 1 {
			t.Errorf("the backend is told %v", told)
		}
	})
}

// What is not his, or is no choice, changes nothing.
func TestSettleRefuses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		ben := b.sit("ben", "", "web")
		his := b.post(Notice{Users: []string{"anna"}})
		excepted := b.post(Notice{All: true, Except: []string{"ben"}})
		later := b.post(Notice{Users: []string{"ben"}, SendAt: time.Now().Add(time.Hour).UnixMilli()})
		unknown := "01ARZ3NDEKTSV4RRFFQ69G5FAV"
		if u, err := b.Settle(t.Context(), ben, true, Choice{IDs: []string{his.ID, excepted.ID, later.ID, unknown, "'; DROP TABLE notices"}}); err != nil || u.Total != 0 {
			t.Errorf("what is not his: %+v, %v", u, err)
		}
		mine := b.post(Notice{Users: []string{"ben"}})
		if u, err := b.Settle(t.Context(), ben, true, Choice{IDs: []string{"no id", mine.ID}}); err != nil || u.Total != 0 || b.became(mine.ID, "ben").State != notice.Read {
			t.Errorf("his own beside what is no id: %+v, %v", u, err)
		}
		b.Acked(ben, his.ID)
		b.Acked(ben, "no id")
		b.Acked(hall.Socket{}, his.ID)
		b.settled()
		if a, c := b.became(his.ID, "anna"), b.became(his.ID, "ben"); a.State != notice.Queued || c.State != "" || b.became(excepted.ID, "ben").State != "" || b.became(later.ID, "ben").State != notice.Queued {
			t.Errorf("anna's is %+v, ben's %+v", a, c)
		}
		many := make([]string, choiceMost+1)
		for i := range many {
			many[i] = unknown
		}
		for name, c := range map[string]struct {
			choice Choice
			kind   fault.Kind
		}{
			"nothing": {Choice{}, fault.Invalid}, "both": {Choice{IDs: []string{unknown}, All: true}, fault.Invalid},
			"too many": {Choice{IDs: many}, fault.TooLarge},
		} {
			if _, err := b.Settle(t.Context(), ben, true, c.choice); !fault.Is(err, c.kind) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := b.Settle(t.Context(), hall.Socket{}, true, Choice{All: true}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// A page stops at 256 KiB, and says that there is more.
func TestPageIsBounded(t *testing.T) {
	b := open(t, storetest.Open(t, store.SQLite))
	body := fmt.Sprintf("%060000d", 1)
	for range 6 {
		b.post(Notice{Users: []string{"anna"}, Body: body})
	}
	s := b.arrive("anna", "", "web")
	e := b.hears(s, "push_message", 1)[0]
	if total, items := unreadOf(t, e); total != 6 || items != 4 || len(e.args[0]) > pageBytes || read(t, e.args[0])["more"] != true {
		t.Errorf("%v unread, %d items in %d bytes", total, items, len(e.args[0]))
	}
	page, err := b.Inbox(t.Context(), notice.View{UserID: "anna", Whole: true}, notice.InboxQuery{Limit: 200})
	if err != nil || len(page.Items) != 4 || page.Next == "" {
		t.Fatalf("the first page has %d items, %v", len(page.Items), err)
	}
	if page, err = b.Inbox(t.Context(), notice.View{UserID: "anna", Whole: true}, notice.InboxQuery{Cursor: page.Next}); err != nil || len(page.Items) != 2 || page.Next != "" {
		t.Errorf("the second page has %d items, %v", len(page.Items), err)
	}
}

// Two devices read at the same moment. The one that has counted first told the third last, which then showed too many
// for as long as nothing else was read.
func TestLastToldIsTrue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		one, two := b.post(Notice{Users: []string{"anna"}}), b.post(Notice{Users: []string{"anna"}})
		phone, tab, third := b.sit("anna", "", "app"), b.sit("anna", "", "web"), b.sit("anna", "", "pc")
		b.hall.do(func() {
			b.hall.before = func() {
				if _, err := b.Settle(t.Context(), tab, true, Choice{IDs: []string{two.ID}}); err != nil {
					t.Error(err)
				}
			}
		})
		if u, err := b.Settle(t.Context(), phone, true, Choice{IDs: []string{one.ID}}); err != nil || u.Total != 0 {
			t.Errorf("got %+v, %v", u, err)
		}
		for _, s := range []hall.Socket{phone, tab, third} {
			list := b.hall.of(s.SessionID, "push_message")
			if total, _ := unreadOf(t, list[len(list)-1]); total != 0 {
				t.Errorf("%s was last told of %v", s.ClientType, total)
			}
		}
		if len(b.tellings.user) != 0 {
			t.Error("somebody is still being told")
		}
	})
}
