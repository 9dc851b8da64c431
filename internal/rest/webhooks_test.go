package rest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
	"rollcall/internal/webhook"
)

// TestWebhookDeliveries: the outbox by state, page by page and newest first; a replay puts an event back, leaves a row in the
// log, and of an unknown event nothing.
func TestWebhookDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		for i := range 3 {
			if err := b.Webhooks.Append(t.Context(), []webhook.Event{{Type: "sign_in", ConferenceID: "42", At: int64(i + 1), Data: map[string]any{"userId": "7"}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			return tx.Exec("UPDATE webhook_outbox SET state = 'dead', attempts = 9, first_at = 5, last_at = 6, last_status = 400, last_error = 'status 400' WHERE seq = 2").Error
		}); err != nil {
			t.Fatal(err)
		}
		all := b.pages("/webhooks/deliveries", 2, "id")
		if len(all) != 3 || all[0] < all[1] || all[1] < all[2] {
			t.Errorf("all, newest first: %v", all)
		}
		if got := b.must(200, "GET", "/webhooks/deliveries?state=sent", "").Body.String(); !strings.Contains(got, `"items":[],"next":null`) {
			t.Errorf("what was sent: %s", got)
		}
		items := b.must(200, "GET", "/webhooks/deliveries?state=dead", "").fields["items"].([]any)
		if len(items) != 1 {
			t.Fatalf("dead: %v", items)
		}
		item := items[0].(map[string]any)
		deliveryID, _ := item["id"].(string)
		delete(item, "id")
		delete(item, "createdAt")
		want := "map[attempts:9 body:map[data:map[at:2 conferenceId:42 seq:2 userId:7] timestamp:1970-01-01T00:00:00.002Z type:sign_in] conferenceId:42 firstAt:5 lastAt:6 lastError:status 400 lastStatus:400 seq:2 state:dead type:sign_in url:http://127.0.0.1:9/]"
		if got := fmt.Sprint(item); got != want {
			t.Errorf("item %s\nwant %s", got, want)
		}

		b.refused("404 not_found", "POST", "/webhooks/deliveries/01ARZ3NDEKTSV4RRFFQ69G5FAV/replay", "")
		b.refused("404 not_found", "POST", "/webhooks/deliveries/7/replay", "")
		b.refused("422 bad_payload", "GET", "/webhooks/deliveries?state=lost", "")
		b.refused("422 bad_cursor", "GET", "/webhooks/deliveries?cursor=1", "")
		if rows := b.logged("audit"); len(rows) != 0 {
			t.Errorf("what did not happen is in the log: %v", rows)
		}
		for range 2 { // one key, one replay
			r := b.must(202, "POST", "/webhooks/deliveries/"+deliveryID+"/replay", "", "Idempotency-Key", "once")
			if r.fields["id"] != deliveryID || r.fields["state"] != "pending" {
				t.Errorf("answer %s", r.Body)
			}
		}
		if rows := b.logged("audit"); len(rows) != 1 || !strings.Contains(fmt.Sprint(rows[0]), deliveryID) {
			t.Errorf("audit: %v", rows)
		}
		if got := b.pages("/webhooks/deliveries?state=pending", 50, "id"); !slices.Equal(got, all) {
			t.Errorf("pending: %v, want %v", got, all)
		}
	})
}
