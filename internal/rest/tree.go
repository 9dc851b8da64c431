package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"gorm.io/gorm"

	"rollcall/internal/conference"
	"rollcall/internal/fault"
)

// sections are described here for the document only; the house knows which there are.
var sections = []string{"conferenceStatus", "conferenceInfo", "topicInfo", "countersignData", "timer", "sameScreen", "headData", "signInData"}

// document is a tree as the house wrote it.
type document json.RawMessage

// MarshalJSON implements json.Marshaler.
func (t document) MarshalJSON() ([]byte, error) { return t, nil }

// Schema implements huma.SchemaProvider.
func (document) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"conferenceId": {Type: huma.TypeString},
		"version":      {Type: huma.TypeInteger, Format: "int64"},
		"serverTime":   {Type: huma.TypeInteger, Format: "int64"},
	}, Required: []string{"conferenceId", "version", "serverTime", "headData"}, Description: "Sections that are blank are left out"}
	for _, name := range sections {
		s.Properties[name] = &huma.Schema{}
	}
	s.Properties["headData"] = &huma.Schema{Type: huma.TypeObject, Description: "onLineNumber is always there", AdditionalProperties: true}
	return s
}

// sectionSchema describes the body of an edit: of one section, or of a merge patch over all.
func sectionSchema(one bool) *huma.Schema {
	if one {
		return &huma.Schema{Description: "The section itself: any JSON; null makes it blank"}
	}
	s := &huma.Schema{Type: huma.TypeObject, Description: "RFC 7396 merge patch", AdditionalProperties: false, Properties: map[string]*huma.Schema{}}
	for _, name := range sections {
		s.Properties[name] = &huma.Schema{}
	}
	return s
}

type treeQuery struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match" doc:"An ETag; 304 if the tree has not changed since"`
}

type patchInput struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match" doc:"An ETag; 412 if a section has changed since. People coming and going do not count."`
	RawBody []byte `contentType:"application/json"`
}

type sectionInput struct {
	ID      string `path:"id"`
	Section string `path:"section" doc:"Name of the section" example:"topicInfo"`
	IfMatch string `header:"If-Match" doc:"An ETag; 412 if a section has changed since. People coming and going do not count."`
	RawBody []byte `contentType:"application/json"`
}

type edited struct {
	ConferenceID string   `json:"conferenceId"`
	Version      int64    `json:"version"`
	Changed      []string `json:"changed" nullable:"false" doc:"Sections whose content is another now"`
}

type treePushed struct {
	ConferenceID string `json:"conferenceId"`
	Version      int64  `json:"version"`
}

func (d *Door) trees() {
	const path = "/conferences/{id}/tree"
	failures := []int{http.StatusConflict, http.StatusPreconditionFailed}
	register(d, operation{id: "get-tree", role: viewer, method: http.MethodGet, path: path, tag: "tree", summary: "Read the tree", also: []int{http.StatusNotModified},
		detail: "The answer has an ETag, which is the version in quotes."}, d.getTree)
	register(d, operation{id: "patch-tree", role: backend, method: http.MethodPatch, path: path, tag: "tree", summary: "Change sections", body: verbatim, errors: failures,
		detail: "An RFC 7396 merge patch over the eight sections."}, d.patchTree)
	register(d, operation{id: "post-tree", role: backend, method: http.MethodPost, path: path, tag: "tree", summary: "Change sections, for clients that cannot send PATCH", body: verbatim, errors: failures,
		detail: "An RFC 7396 merge patch over the eight sections."}, d.patchTree)
	register(d, operation{id: "put-section", role: backend, method: http.MethodPut, path: path + "/{section}", tag: "tree", summary: "Replace one section", body: verbatim,
		errors: append(failures, http.StatusNotFound)}, d.putSection)
	register(d, operation{id: "push-tree", role: backend, method: http.MethodPost, path: path + "/push", tag: "tree", summary: "Push the tree",
		detail: "Reads the row again, whoever wrote it, raises the version and pushes."}, d.pushTree)
}

func (d *Door) getTree(ctx context.Context, in *treeQuery) (*answer[document], error) {
	text, version, err := d.House.Tree(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	visitOf(ctx).header.Set("Cache-Control", "private, no-cache") // it may be kept, to be asked about by its ETag
	out := ok(document(text))
	out.ETag = `"` + strconv.FormatInt(version, 10) + `"`
	if named(in.IfNoneMatch, out.ETag) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

// named reports whether a list of entity tags, weak or not, holds etag.
func named(list, etag string) bool {
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// ifMatch returns the version that an If-Match asks for, nil for none. A tag that we never gave matches nothing.
func ifMatch(header string) (*int64, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return nil, nil
	}
	version, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), 10, 64)
	if err != nil || version < 0 {
		return nil, fault.New(fault.Precondition, "version_mismatch", "If-Match must be the version of the tree, in quotes")
	}
	return &version, nil
}

func (d *Door) patchTree(ctx context.Context, in *patchInput) (*answer[edited], error) {
	patch := bytes.Clone(in.RawBody) // huma uses the buffer again
	return d.edit(ctx, in.ID, in.IfMatch, func(ctx context.Context, v *int64) (conference.Edited, error) {
		return d.House.Patch(ctx, in.ID, patch, v)
	})
}

func (d *Door) putSection(ctx context.Context, in *sectionInput) (*answer[edited], error) {
	text := bytes.Clone(in.RawBody)
	return d.edit(ctx, in.ID, in.IfMatch, func(ctx context.Context, v *int64) (conference.Edited, error) {
		return d.House.PutSection(ctx, in.ID, in.Section, text, v)
	})
}

// edit changes a tree and leaves a row about it in the log, both or neither.
func (d *Door) edit(ctx context.Context, conferenceID, match string, change func(context.Context, *int64) (conference.Edited, error)) (*answer[edited], error) {
	version, err := ifMatch(match)
	if err != nil {
		return nil, err
	}
	var done conference.Edited
	err = d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if done, err = change(ctx, version); err != nil || len(done.Changed) == 0 {
			return err
		}
		return d.audit(ctx, conferenceID, act{Action: "tree.edit", Sections: done.Changed, Version: done.Version})
	})
	if err != nil {
		return nil, err
	}
	return ok(edited{conferenceID, done.Version, done.Changed}), nil
}

func (d *Door) pushTree(ctx context.Context, in *conferencePath) (*answer[treePushed], error) {
	out := treePushed{ConferenceID: in.ID}
	err := d.DB.Write(ctx, func(ctx context.Context, _ *gorm.DB) (err error) {
		if out.Version, err = d.House.Push(ctx, in.ID); err != nil {
			return err
		}
		return d.audit(ctx, in.ID, act{Action: "tree.push", Version: out.Version})
	})
	if err != nil {
		return nil, err
	}
	return ok(out), nil
}
