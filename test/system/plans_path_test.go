package system_test

import (
	"fmt"
	"time"
)

// peopleCome joins by members list, with a name, a second device and an alias, and to no conference.
func (h *hot) peopleCome() {
	h.must("POST", room+"/members", `{"members":[{"userId":"u1","role":"host"}]}`, nil)
	h.anna = h.joins("u1", "c1", "userName", "Anna")
	h.ben = h.joins("u8", "c1", "deviceId", "second")
	h.asks(h.ben, "user_login", map[string]any{"userId": "u8", "conferenceId": "c1", "tokenId": "token of ben"})
	h.joins("u15", "")
	if _, err := join(h.base, "u2", "nowhere", "token", token(h.t, "u2", unsaid)); err == nil {
		h.t.Fatal("somebody was let in where nobody has registered anybody")
	}
	h.joins("newcomer", "fresh", "token", token(h.t, "newcomer")).leave() // of whom, and where, nobody has registered anything
}

func (h *hot) treesChange() {
	h.must("PATCH", room+"/tree", `{"topicInfo":{"title":"Budget"}}`, nil)
	h.must("PUT", room+"/tree/conferenceInfo", `{"text":"x"}`, nil)
	h.must("GET", room+"/tree", nil, nil)
	h.must("POST", room+"/tree/push", `{}`, nil)
	h.must("PUT", room, `{"title":"Budget"}`, nil)
	h.must("PUT", "/api/v1/users/u8", `{"name":"Ben"}`, nil)
	h.must("POST", room+"/timer", `{"action":"start","durationMs":300}`, nil)
	h.must("POST", room+"/sign-in", `{"userId":"u1"}`, nil)
	h.asks(h.anna, "sign_in", map[string]any{})
	h.asks(h.ben, "same_screen", map[string]any{"action": "start"})
}

// noticesGoOut posts to users near, far and away, to a conference and to all, stored or not, at once and later.
func (h *hot) noticesGoOut() {
	var sent struct{ ID string }
	h.must("POST", "/api/v1/notices", `{"to":{"users":["u1","u8","u141","u77"]},"title":"a","requireAck":true,"ttlSeconds":1,"unreachedAfterSeconds":1}`, &sent, "Idempotency-Key", "one")
	h.asks(h.anna, "notice_ack", map[string]any{"ids": []string{sent.ID}})
	h.must("POST", "/api/v1/notices", `{"to":{"users":["u8"]},"title":"b","requireAck":true}`, &sent) // is sent again
	h.must("GET", "/api/v1/notices/"+sent.ID, nil, nil)
	h.must("GET", "/api/v1/notices/"+sent.ID+"/deliveries", nil, nil)
	h.must("POST", "/api/v1/notices", `{"to":{"conference":"c1"},"title":"c","category":"remind"}`, nil)
	h.must("POST", "/api/v1/notices", `{"to":{"all":true},"title":"d","ttlSeconds":600}`, nil)
	h.must("POST", "/api/v1/notices", `{"to":{"conference":"c1"},"title":"e","store":false}`, nil)
	h.must("POST", "/api/v1/notices", fmt.Sprintf(`{"to":{"users":["u1"]},"title":"f","sendAt":%d}`, time.Now().Add(300*time.Millisecond).UnixMilli()), nil)
	h.must("POST", "/api/v1/notices", `{"to":{"users":["u1"]},"title":"g"}`, &sent)
	h.must("DELETE", "/api/v1/notices/"+sent.ID, nil, nil)
	h.must("POST", "/api/v1/push", `{"sendUserId":"u1","userIds":["u8"],"message":1,"destination":"vote","conferenceId":"c1"}`, nil)
	h.must("POST", "/api/v1/push/all", `{"message":1,"destination":"vote"}`, nil)
	h.must("POST", "/api", `{"tokens":["token of ben","u1"],"data":"D"}`, nil)
}

func (h *hot) inboxesAreRead() {
	var page struct{ Items []struct{ ID string } }
	h.must("GET", "/api/v1/users/u1/inbox", nil, &page)
	if len(page.Items) == 0 {
		h.t.Fatal("the inbox of somebody who was told things is empty")
	}
	h.asks(h.anna, "inbox", map[string]any{"unreadOnly": true, "category": "system", "limit": 5})
	h.asks(h.anna, "notice_read", map[string]any{"ids": []string{page.Items[0].ID}})
	h.must("POST", "/api/v1/users/u1/inbox/read", `{"all":true,"category":"remind"}`, nil)
	h.must("POST", "/api/v1/users/u8/inbox/read", `{"all":true}`, nil)
}

func (h *hot) peopleSpeak() {
	h.asks(h.anna, "chat message", "hello")
	h.asks(h.anna, "chat_history", map[string]any{})
	h.asks(h.anna, "direct_message", map[string]any{"to": "u8", "body": "psst", "clientMsgId": "1"})
	h.asks(h.anna, "todo", map[string]any{"receiver_id": "u77", "title": "tidy up"})
	h.asks(h.anna, "receive_client_event", map[string]any{"page": "hidden"})
	h.asks(h.anna, "roster", map[string]any{"limit": 10})
	h.asks(h.anna, "tree_resync", map[string]any{})
	board := h.joins("board", "", "is_system", "1", "token", token(h.t, "board", system))
	h.asks(board, "watch", map[string]any{"conferenceIds": []string{"c3"}})
}

// peopleLook reads what pages of administrators and backends read all the time.
func (h *hot) peopleLook() {
	for _, path := range []string{
		room + "/presence", room + "/members", room + "/attendance", room, "/api/v1/conferences", "/api/v1/users/u1/presence", "/api/v1/presence", "/api/v1/presence/summary", "/api/v1/nodes",
		"/api/v1/notices", "/api/v1/notices?conferenceId=c1", "/api/v1/notices?recipientId=u1&event=notice", "/api/v1/explain?userId=u1&conferenceId=c1", "/api/v1/webhooks/deliveries",
	} {
		h.must("GET", path, nil, nil)
	}
	h.must("POST", "/api/v1/presence/query", `{"users":["u1","u8","u77"]}`, nil)
	h.must("POST", "/api/v1/session", `{"key":"`+adminKey+`"}`, nil)
}

// timesCome waits for what is done by itself.
func (h *hot) timesCome() {
	w := h.anna
	if !w.wait(10*time.Second, func() bool { return w.count["timer_finished"] > 0 }) {
		h.t.Error("the timer did not end")
	}
	h.must("PATCH", "/api/v1/conferences/c9/tree", `{"topicInfo":{"title":"nobody looks"}}`, nil)
}

// peopleGo leaves, is lost while sharing the screen, is sent out, and is taken off the list.
func (h *hot) peopleGo() {
	h.ben.vanish()
	h.must("POST", "/api/v1/notices", `{"to":{"users":["u8"]},"title":"while he is lost","store":false,"ttlSeconds":1}`, nil)
	kicked := h.joins("u22", "c1")
	h.must("POST", "/api/v1/users/u22/kick", `{"conferenceId":"c1","barSeconds":60}`, nil)
	kicked.wait(10*time.Second, func() bool { return kicked.count["kicked"] > 0 })
	removed := h.joins("u29", "c1")
	h.must("DELETE", room+"/members/u29", nil, nil)
	removed.wait(10*time.Second, func() bool { return removed.count["kicked"] > 0 })
	w := h.anna
	if !w.wait(10*time.Second, func() bool { return w.count["offline_notice"] > 0 }) {
		h.t.Error("nobody was told that somebody went")
	}
	h.asks(h.anna, "leave", map[string]any{})
}
