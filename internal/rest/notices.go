package rest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/rawjson"
)

// jsonText is any JSON, kept as it was written.
type jsonText json.RawMessage

// MarshalJSON implements json.Marshaler.
func (t jsonText) MarshalJSON() ([]byte, error) {
	if rawjson.Blank(t) {
		return []byte("null"), nil
	}
	return t, nil
}

// Schema implements huma.SchemaProvider.
func (jsonText) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

type noticeItem struct {
	ID           string            `json:"id"`
	ConferenceID string            `json:"conferenceId"`
	SenderID     string            `json:"senderId"`
	SenderName   string            `json:"senderName"`
	Actor        string            `json:"actor" doc:"Name of the API key, socket or system"`
	Event        string            `json:"event"`
	Category     string            `json:"category"`
	Label        string            `json:"label"`
	SendType     string            `json:"sendType" doc:"1 for rows of the service itself"`
	Message      jsonText          `json:"message" doc:"What was emitted: any JSON"`
	Recipients   []string          `json:"recipients" nullable:"false" doc:"At most 100; all of them are among the deliveries"`
	Audience     int               `json:"audience" doc:"Users addressed"`
	Sent         int               `json:"sent"`
	Acked        int               `json:"acked"`
	Read         int               `json:"read"`
	FromIP       string            `json:"fromIp"`
	ToIP         map[string]string `json:"toIp" doc:"Addresses of recipients, by id"`
	Online       int               `json:"online" doc:"Users online then"`
	State        string            `json:"state" enum:"sent,queued,suppressed,summarised,recalled,expired"`
	CreatedAt    int64             `json:"createdAt" doc:"Milliseconds since 1970"`
}

func noticeOf(e notice.Entry) noticeItem {
	n := noticeItem{
		e.ID, e.ConferenceID, e.SenderID, e.SenderName, e.Actor, e.Event, e.Category, e.Label, e.SendType, jsonText(e.Message),
		e.Recipients, e.Audience, e.Sent, e.Acked, e.Read, e.FromIP, e.ToIP, e.Online, e.State, e.CreatedAt,
	}
	if n.Recipients == nil {
		n.Recipients = []string{}
	}
	if n.ToIP == nil {
		n.ToIP = map[string]string{}
	}
	return n
}

type delivery struct {
	UserID     string `json:"userId"`
	State      string `json:"state" enum:"queued,sent,acked,read,expired,unreached,recalled"`
	At         int64  `json:"at" doc:"Milliseconds since 1970"`
	SessionID  string `json:"sessionId"`
	ClientType string `json:"clientType"`
	DeviceID   string `json:"deviceId"`
	IP         string `json:"ip"`
}

// Filters restrict the log. Blank ones do not.
type Filters struct {
	ConferenceID string `query:"conferenceId"`
	SenderID     string `query:"senderId"`
	RecipientID  string `query:"recipientId"`
	Event        string `query:"event" maxLength:"64"`
	Category     string `query:"category" maxLength:"32"`
	State        string `query:"state" maxLength:"16"`
	Label        string `query:"label" maxLength:"255"`
	SendType     string `query:"sendType" maxLength:"64"`
	From         int64  `query:"from" minimum:"0" doc:"First millisecond since 1970"`
	To           int64  `query:"to" minimum:"0" doc:"Last millisecond since 1970"`
	Q            string `query:"q" maxLength:"255" doc:"Part of message, sender's name or label, among the newest 50,000 rows that match the rest"`
}

// check reports ids that cannot be any.
func (f *Filters) check() error {
	for name, value := range map[string]string{"query.senderId": f.SenderID, "query.recipientId": f.RecipientID} {
		if value == "" {
			continue
		}
		if err := id.Check(value); err != nil {
			return badID(name, err)
		}
	}
	_, err := optionalConference("query.conferenceId", f.ConferenceID)
	return err
}

func (f *Filters) filter() notice.Filter {
	conferenceID, _ := optionalConference("", f.ConferenceID) // see check
	return notice.Filter{
		ConferenceID: conferenceID, SenderID: f.SenderID, RecipientID: f.RecipientID, Event: f.Event, Category: f.Category,
		State: f.State, Label: f.Label, SendType: f.SendType, From: f.From, To: f.To, Q: f.Q,
	}
}

type noticesQuery struct {
	Filters
	Paging
}

type noticePath struct {
	ID string `path:"id"`
}

type deliveriesQuery struct {
	ID string `path:"id"`
	Paging
}

func (d *Door) notices() {
	register(d, operation{id: "list-notices", role: viewer, method: http.MethodGet, path: "/notices", tag: "notices", summary: "The notice log, newest first"}, d.listNotices)
	register(d, operation{id: "get-notice", role: viewer, method: http.MethodGet, path: "/notices/{id}", tag: "notices", summary: "One row of the log", errors: []int{http.StatusNotFound}}, d.getNotice)
	register(d, operation{id: "list-deliveries", role: viewer, method: http.MethodGet, path: "/notices/{id}/deliveries", tag: "notices", summary: "What became of a notice, by user",
		errors: []int{http.StatusNotFound}}, d.listDeliveries)
	d.export()
}

func (d *Door) listNotices(ctx context.Context, in *noticesQuery) (*answer[page[noticeItem]], error) {
	f := in.filter()
	f.Limit, f.Cursor = in.Limit, in.Cursor
	list, next, err := d.Notices.Find(ctx, f)
	if err != nil {
		return nil, err
	}
	rows := make([]noticeItem, 0, len(list))
	for _, e := range list {
		rows = append(rows, noticeOf(e))
	}
	return pageOf(rows, next), nil
}

func (d *Door) getNotice(ctx context.Context, in *noticePath) (*answer[noticeItem], error) {
	e, err := d.Notices.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return ok(noticeOf(e)), nil
}

func (d *Door) listDeliveries(ctx context.Context, in *deliveriesQuery) (*answer[page[delivery]], error) {
	list, next, err := d.Notices.Deliveries(ctx, in.ID, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	rows := make([]delivery, 0, len(list))
	for _, x := range list {
		rows = append(rows, delivery{x.UserID, x.State, x.At, x.SessionID, x.ClientType, x.DeviceID, x.IP})
	}
	return pageOf(rows, next), nil
}
