package rest

import (
	"context"
	"fmt"
	"net/http"

	"gorm.io/gorm"

	"rollcall/internal/rawjson"
	"rollcall/internal/webhook"
)

type webhookDelivery struct {
	ID           string   `json:"id" doc:"The header webhook-id of every attempt"`
	URL          string   `json:"url" doc:"Without user, query and fragment"`
	ConferenceID string   `json:"conferenceId"`
	Seq          int64    `json:"seq" doc:"Number in the conference, for this endpoint"`
	Type         string   `json:"type"`
	State        string   `json:"state" enum:"pending,sent,dead"`
	Attempts     int      `json:"attempts"`
	FirstAt      *int64   `json:"firstAt" doc:"First attempt, milliseconds since 1970; null if there was none"`
	LastAt       *int64   `json:"lastAt" doc:"Last attempt, milliseconds since 1970; null if there was none"`
	LastStatus   int      `json:"lastStatus" doc:"HTTP status of the last attempt; 0 if there was no answer"`
	LastError    string   `json:"lastError"`
	CreatedAt    int64    `json:"createdAt" doc:"Milliseconds since 1970"`
	Body         jsonText `json:"body" doc:"What is sent: any JSON"`
}

func webhookDeliveryOf(d webhook.Delivery) webhookDelivery {
	return webhookDelivery{
		d.ID, d.URL, d.ConferenceID, d.Seq, d.Type, d.State, d.Attempts, d.FirstAt, d.LastAt, d.LastStatus, d.LastError, d.CreatedAt, jsonText(d.Body),
	}
}

type webhookDeliveriesQuery struct {
	State string `query:"state" enum:"pending,sent,dead" doc:"All if left out"`
	Paging
}

type webhookDeliveryPath struct {
	ID string `path:"id"`
}

type replayed struct {
	ID    string `json:"id"`
	State string `json:"state" enum:"pending"`
}

// replayAct is what the row of event audit says of a replay.
type replayAct struct {
	Action     string `json:"action"`
	DeliveryID string `json:"deliveryId"`
}

func (d *Door) webhooks() {
	register(d, operation{id: "list-webhook-deliveries", role: viewer, method: http.MethodGet, path: "/webhooks/deliveries", tag: "webhooks",
		summary: "What the meeting backend was and is to be told, newest first"}, d.listWebhookDeliveries)
	register(d, operation{id: "replay-webhook-delivery", role: admin, method: http.MethodPost, path: "/webhooks/deliveries/{id}/replay", tag: "webhooks",
		summary: "Send an event again", detail: "A dead or sent event is sent as if it were new, with the id it had. A pending one is tried at once.",
		status: http.StatusAccepted, errors: []int{http.StatusNotFound}}, d.replayWebhookDelivery)
}

func (d *Door) listWebhookDeliveries(ctx context.Context, in *webhookDeliveriesQuery) (*answer[page[webhookDelivery]], error) {
	list, next, err := d.Webhooks.List(ctx, in.State, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	rows := make([]webhookDelivery, 0, len(list))
	for _, x := range list {
		rows = append(rows, webhookDeliveryOf(x))
	}
	return pageOf(rows, next), nil
}

func (d *Door) replayWebhookDelivery(ctx context.Context, in *webhookDeliveryPath) (*answer[replayed], error) {
	text, err := rawjson.Encode(replayAct{"replay", in.ID})
	if err != nil {
		return nil, fmt.Errorf("encode audit row: %w", err)
	}
	err = d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
		if err := d.Webhooks.Replay(ctx, in.ID); err != nil {
			return err
		}
		v := visitOf(ctx)
		return d.House.Audit(ctx, v.caller.Name, v.address, "", text)
	})
	if err != nil {
		return nil, err
	}
	return ok(replayed{in.ID, "pending"}), nil
}
