package rest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"rollcall/internal/notice"
	"rollcall/internal/rawjson"
)

const (
	// bom tells spreadsheets that the text is UTF-8.
	bom = "\uFEFF"
	// exportPatience is how long a client may take to read the rows between two extensions of the deadline.
	exportPatience = 30 * time.Second
	// exportStride is how much time lies between them. It is no number of rows: few may be found in much of the log.
	exportStride = time.Second
)

var columns = []string{
	"id", "time", "createdAt", "conferenceId", "senderId", "senderName", "actor", "event", "category", "label", "sendType", "message",
	"recipients", "audience", "sent", "acked", "read", "fromIp", "toIp", "online", "state",
}

type exportQuery struct{ Filters }

// export registers the log as a file. It is streamed, so it does not go through register.
func (d *Door) export() {
	o := operation{id: "export-notices", role: viewer, method: http.MethodGet, path: "/notices/export.csv", tag: "notices", summary: "The notice log as a file for spreadsheets",
		detail: "UTF-8 with BOM, RFC 4180, newest first. A cell that a spreadsheet would run begins with an apostrophe."}
	op := d.begin(&o)
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	huma.Register(d.api, op, func(ctx context.Context, in *exportQuery) (*huma.StreamResponse, error) {
		err := in.check()
		if err == nil {
			err = d.audit(ctx, "", act{Action: "export", Filters: in.given()})
		}
		if err != nil {
			visitOf(ctx).failure = err
			return nil, problemOf(err)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { d.stream(humagin.Unwrap(hc), in.filter()) }}, nil
	})
}

// given names the filters that restrict, for the log.
func (f *Filters) given() map[string]string {
	out := map[string]string{}
	for name, value := range map[string]string{
		"conferenceId": f.ConferenceID, "senderId": f.SenderID, "recipientId": f.RecipientID, "event": f.Event, "category": f.Category,
		"state": f.State, "label": f.Label, "sendType": f.SendType, "q": f.Q, "from": number(f.From), "to": number(f.To),
	} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// stream writes the rows as they are read. Headers go out with the first bytes, so that an error before them is still
// a problem document; an error after them breaks the connection, or half a file would pass for a whole one.
func (d *Door) stream(c *gin.Context, f notice.Filter) {
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", `attachment; filename="notices.csv"`)
	control := http.NewResponseController(c.Writer)
	w := newSheet(c.Writer)
	rows, extended := 0, time.Time{}
	extend := func() {
		if now := time.Now(); now.Sub(extended) >= exportStride { // not every writer has deadlines, a test's for one
			_ = control.SetWriteDeadline(now.Add(exportPatience))
			extended = now
		}
	}
	write := func(cells []string) error {
		extend()
		if rows == 0 {
			if _, err := io.WriteString(c.Writer, bom); err != nil {
				return err
			}
			if err := w.Write(columns); err != nil {
				return err
			}
		}
		rows++
		if cells == nil {
			return nil
		}
		return w.Write(cells)
	}
	err := d.Notices.Each(c.Request.Context(), f, func(e notice.Entry) error { return write(cellsOf(noticeOf(e))) })
	if err == nil && rows == 0 {
		err = write(nil)
	}
	extend()
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	if err == nil {
		return
	}
	visitOf(c.Request.Context()).failure = fmt.Errorf("export notices: %w", err)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	refuse(c, problemOf(err))
}

func cellsOf(n noticeItem) []string {
	ips, err := rawjson.Encode(n.ToIP)
	if err != nil {
		ips = nil // cannot be: texts
	}
	cells := []string{
		n.ID, time.UnixMilli(n.CreatedAt).UTC().Format("2006-01-02T15:04:05.000Z"), strconv.FormatInt(n.CreatedAt, 10), n.ConferenceID, n.SenderID, n.SenderName,
		n.Actor, n.Event, n.Category, n.Label, n.SendType, string(n.Message), strings.Join(n.Recipients, " "), strconv.Itoa(n.Audience), strconv.Itoa(n.Sent),
		strconv.Itoa(n.Acked), strconv.Itoa(n.Read), n.FromIP, string(ips), strconv.Itoa(n.Online), n.State,
	}
	for i, cell := range cells {
		cells[i] = harmless(cell)
	}
	return cells
}

// harmless returns a cell that no spreadsheet takes for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
