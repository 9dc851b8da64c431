package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
)

type interval struct {
	From   int64   `json:"from" doc:"Milliseconds since 1970"`
	To     *int64  `json:"to" doc:"The first moment in which he was no longer there; null while he is"`
	Reason *string `json:"reason" enum:"left,lost,kicked,node_lost,ended" doc:"Why it ended; null while he is there"`
}

type attendee struct {
	UserID    string     `json:"userId"`
	UserName  string     `json:"userName"`
	Intervals []interval `json:"intervals" nullable:"false" doc:"When he was there; none for a member who never came"`
	TotalMs   int64      `json:"totalMs" doc:"Sum of the intervals, up to now where he is there"`
	SignedAt  *int64     `json:"signedAt" doc:"Milliseconds since 1970; null for who did not sign in"`
}

type attendanceQuery struct {
	ID     string `path:"id"`
	Format string `query:"format" enum:"json,csv" default:"json"`
}

var attendanceColumns = []string{"userId", "userName", "from", "to", "reason", "totalMs", "signedAt"}

// attendances registers an operation with two kinds of answers, so it does not go through register.
func (d *Door) attendances() {
	o := operation{id: "get-attendance", role: viewer, method: http.MethodGet, path: "/conferences/{id}/attendance", tag: "presence", summary: "Who was in a conference when",
		detail: "Members in the order of their list, came they or not, then others in the order of their arrival. Who came back within presence.grace after a loss was there all along. " +
			"A session whose node died ends with the node's last heartbeat. With format=csv a file for spreadsheets, with one line per interval."}
	op := d.begin(&o)
	schema := d.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[items[attendee]](), true, "")
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schema}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
	huma.Register(d.api, op, func(ctx context.Context, in *attendanceQuery) (*huma.StreamResponse, error) {
		list, err := d.attendance(ctx, in.ID)
		kind, text := "application/json", []byte(nil)
		switch {
		case err != nil:
		case in.Format == "csv":
			kind = "text/csv; charset=utf-8"
			text, err = attendanceFile(list)
		default:
			text, err = json.Marshal(items[attendee]{list})
		}
		if err != nil {
			visitOf(ctx).failure = err
			return nil, problemOf(err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			c := humagin.Unwrap(hc)
			if in.Format == "csv" {
				c.Header("Content-Disposition", `attachment; filename="attendance.csv"`)
			}
			c.Data(http.StatusOK, kind, text)
		}}, nil
	})
}

// attendance reads all of it as of one moment. Of a conference that was deleted, or that nobody registered, the
// sessions tell as well.
func (d *Door) attendance(ctx context.Context, conferenceID string) (list []attendee, err error) {
	err = d.DB.Read(ctx, func(ctx context.Context, _ *gorm.DB) error {
		var until int64
		c, err := d.House.Get(ctx, conferenceID)
		switch {
		case err == nil && c.EndedAt != nil:
			until = *c.EndedAt
		case err != nil && !fault.Is(err, fault.NotFound):
			return err
		}
		people, err := d.Presence.Attendance(ctx, conferenceID, until)
		if err != nil {
			return err
		}
		signed, err := d.House.SignedAt(ctx, conferenceID)
		if err != nil {
			return err
		}
		list = make([]attendee, len(people))
		for i, p := range people {
			list[i] = attendeeOf(p)
			if at, did := signed[p.UserID]; did {
				list[i].SignedAt = &at
			}
		}
		return nil
	})
	return list, err
}

func attendeeOf(p presence.Attendee) attendee {
	a := attendee{UserID: p.UserID, UserName: p.UserName, TotalMs: p.TotalMs, Intervals: make([]interval, len(p.Intervals))}
	for i, x := range p.Intervals {
		a.Intervals[i].From = x.From
		if x.To != 0 {
			reason := string(x.Reason)
			a.Intervals[i].To, a.Intervals[i].Reason = &x.To, &reason
		}
	}
	return a
}

// attendanceFile has a line per interval, and one for who never came.
func attendanceFile(list []attendee) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(bom)
	w := newSheet(&b)
	lines := [][]string{attendanceColumns}
	for _, a := range list {
		total := strconv.FormatInt(a.TotalMs, 10)
		if len(a.Intervals) == 0 {
			lines = append(lines, []string{a.UserID, a.UserName, "", "", "", total, timeCell(a.SignedAt)})
		}
		for _, i := range a.Intervals {
			reason := ""
			if i.Reason != nil {
				reason = *i.Reason
			}
			lines = append(lines, []string{a.UserID, a.UserName, timeCell(&i.From), timeCell(i.To), reason, total, timeCell(a.SignedAt)})
		}
	}
	for _, line := range lines {
		for i, cell := range line {
			line[i] = harmless(cell)
		}
		if err := w.Write(line); err != nil {
			return nil, fmt.Errorf("write attendance as CSV: %w", err)
		}
	}
	err := w.Flush()
	return b.Bytes(), err
}

func timeCell(ms *int64) string {
	if ms == nil {
		return ""
	}
	return time.UnixMilli(*ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
