package rest

import (
	"context"
	"fmt"

	"rollcall/internal/rawjson"
)

// act is what a row of event audit says was done.
type act struct {
	Action       string            `json:"action"`
	UserID       string            `json:"userId,omitempty"`
	SessionID    string            `json:"sessionId,omitempty"`
	NoticeID     string            `json:"noticeId,omitempty"`
	ConferenceID string            `json:"conferenceId,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Kicked       *int              `json:"kicked,omitempty"`
	BarSeconds   int64             `json:"barSeconds,omitempty"`
	NodeID       string            `json:"nodeId,omitempty"`
	Closed       *int              `json:"closed,omitempty"`
	Sections     []string          `json:"sections,omitempty"`
	Version      int64             `json:"version,omitempty"`
	Filters      map[string]string `json:"filters,omitempty"`
}

// audit leaves a row in the log, in the transaction that ctx carries or in one of its own.
func (d *Door) audit(ctx context.Context, conferenceID string, a act) error {
	text, err := rawjson.Encode(a)
	if err != nil {
		return fmt.Errorf("encode audit row: %w", err)
	}
	v := visitOf(ctx)
	return d.House.Audit(ctx, v.caller.Name, v.address, conferenceID, text)
}
