package rest

import (
	"context"
	"net/http"

	"rollcall/internal/explain"
)

type explainQuery struct {
	UserID       string `query:"userId" required:"true"`
	ConferenceID string `query:"conferenceId" doc:"All of them, without their trees, if left out"`
	From         int64  `query:"from" minimum:"0" doc:"Milliseconds since 1970; 24 hours before the end if left out"`
	To           int64  `query:"to" minimum:"0" doc:"Milliseconds since 1970; now if left out"`
}

func (d *Door) explains() {
	register(d, operation{id: "explain", role: viewer, method: http.MethodGet, path: "/explain", tag: "presence", summary: "What happened to a user, and why",
		detail: "One time line of his sessions, of the states that follow from them, of what was said about him and to him, and of the trees that were pushed. " +
			"At most 1,000 moments, the newest; a note in front says when there are more."}, d.explain)
}

func (d *Door) explain(ctx context.Context, in *explainQuery) (*answer[items[explain.Moment]], error) {
	if err := checkUser("query.userId", in.UserID); err != nil {
		return nil, err
	}
	conferenceID, err := optionalConference("query.conferenceId", in.ConferenceID)
	if err != nil {
		return nil, err
	}
	line, err := d.Explain.Line(ctx, explain.Query{UserID: in.UserID, ConferenceID: conferenceID, From: in.From, To: in.To})
	if err != nil {
		return nil, err
	}
	if line == nil {
		line = []explain.Moment{}
	}
	return ok(items[explain.Moment]{line}), nil
}
