package conference

import (
	"context"
	"encoding/json"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
)

// Edited is the answer to a change of the tree.
type Edited struct {
	Version int64
	Changed []string // names of the sections whose content is another now; empty if the change changed nothing
}

// ErrEnded is returned for changes of a conference that is over.
var ErrEnded = fault.New(fault.Conflict, "conference_ended", "the conference has ended, its tree is frozen")

// Patch applies an RFC 7396 merge patch over the eight sections. ifMatch, if not nil, is a version: the patch is
// refused with a Precondition fault if a section's content has changed since. People who come and go do not count.
func (h *House) Patch(ctx context.Context, conferenceID string, patch json.RawMessage, ifMatch *int64) (Edited, error) {
	if err := rawjson.Check(patch, maxDepth); err != nil {
		return Edited{}, fault.Invalidf("the patch is %v", err)
	}
	parts, ok := rawjson.Object(patch)
	if !ok {
		return Edited{}, fault.Invalidf("the patch must be an object whose keys are sections of the tree")
	}
	for name := range parts {
		if _, ok := sectionNamed(name); !ok {
			return Edited{}, fault.New(fault.Invalid, "unknown_section", fmt.Sprintf("%q is not a section of the tree", name))
		}
	}
	return h.edit(ctx, conferenceID, ifMatch, func(c *content) error {
		for name, part := range parts {
			i, _ := sectionNamed(name)
			merged, err := rawjson.Merge(c.text[i], part)
			if err != nil {
				return err
			}
			if err := c.put(i, merged); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutSection replaces one section; null makes it blank. A section nobody knows is a NotFound fault.
func (h *House) PutSection(ctx context.Context, conferenceID, name string, text json.RawMessage, ifMatch *int64) (Edited, error) {
	i, ok := sectionNamed(name)
	if !ok {
		return Edited{}, fault.New(fault.NotFound, "unknown_section", "the tree has no such section")
	}
	if err := rawjson.Check(text, maxDepth); err != nil {
		return Edited{}, fault.Invalidf("the section is %v", err)
	}
	return h.edit(ctx, conferenceID, ifMatch, func(c *content) error { return c.put(i, text) })
}

// edit changes the content of a tree in one transaction, under the conference's lock, and has it pushed.
func (h *House) edit(ctx context.Context, conferenceID string, ifMatch *int64, change func(*content) error) (Edited, error) {
	var done Edited
	err := h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		done = Edited{Changed: []string{}}
		before, versions, err := h.lockContent(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		foreign := !before.is(versions.ContentDigest)
		if ifMatch != nil && (foreign || versions.Content > *ifMatch) {
			return fault.New(fault.Precondition, "version_mismatch", "a section has changed since that version")
		}
		after := before
		if err := change(&after); err != nil {
			return err
		}
		if after.size() > h.MaxTreeBytes {
			return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("the tree would be larger than %d bytes", h.MaxTreeBytes))
		}
		columns := map[string]any{}
		for i, s := range sections {
			if differs(before, after, i) {
				columns[s.column] = after.column(i)
				done.Changed = append(done.Changed, s.name)
			}
		}
		if err := h.keepCount(ctx, conferenceID, after, columns); err != nil {
			return err
		}
		done.Version = versions.Tree
		if len(columns) == 0 && !foreign {
			return nil
		}
		if err := h.writeContent(tx, conferenceID, columns, string(after.text[status])); err != nil {
			return err
		}
		done.Version, err = h.raiseContent(ctx, tx, conferenceID)
		return err
	})
	return done, err
}

// keepCount puts the number of people online into head_data, if that is to be written.
func (h *House) keepCount(ctx context.Context, conferenceID string, c content, columns map[string]any) error {
	if _, ok := columns[sections[head].column]; !ok {
		return nil
	}
	online, err := h.Presence.OnlineIn(ctx, []string{conferenceID})
	if err != nil {
		return err
	}
	columns[sections[head].column] = string(withCount(c.text[head], online[conferenceID]))
	return nil
}

// differs reports whether section i says something else; what stands in front of headData's count does not matter.
func differs(before, after content, i int) bool {
	a, b := before.text[i], after.text[i]
	if i == head {
		a, b = withoutCount(a), withoutCount(b)
	}
	return string(a) != string(b) || before.broken[i] != after.broken[i]
}

// lockContent takes the lock of the conference and reads what is in its tree. A conference that is over is ErrEnded.
func (h *House) lockContent(ctx context.Context, tx *gorm.DB, conferenceID string) (content, presence.Versions, error) {
	if err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
		return content{}, presence.Versions{}, err
	}
	registered, ok, err := readConference(tx, conferenceID)
	if err != nil {
		return content{}, presence.Versions{}, err
	}
	if ok && registered.EndedAt != nil {
		return content{}, presence.Versions{}, ErrEnded
	}
	return h.readContent(tx, conferenceID)
}

func (h *House) readContent(tx *gorm.DB, conferenceID string) (content, presence.Versions, error) {
	versions, err := presence.ReadVersions(tx, conferenceID)
	if err != nil {
		return content{}, versions, err
	}
	row, err := readTree(tx, conferenceID)
	if err != nil {
		return content{}, versions, err
	}
	return read(row.columns(), versions.StatusJSON), versions, nil
}

// writeContent writes columns of the tree row and remembers the status as it was given.
func (h *House) writeContent(tx *gorm.DB, conferenceID string, columns map[string]any, given string) error {
	if err := ensureRow(tx, conferenceID); err != nil {
		return err
	}
	if len(columns) > 0 {
		if err := tx.Table("conference_nodes").Where("conference_id = ?", conferenceID).Updates(columns).Error; err != nil {
			return fmt.Errorf("write tree row: %w", err)
		}
	}
	if _, ok := columns[sections[status].column]; ok {
		if err := tx.Table("conference_versions").Where("conference_id = ?", conferenceID).Update("status_json", given).Error; err != nil {
			return fmt.Errorf("remember status: %w", err)
		}
	}
	return nil
}

// raiseContent raises the version of the tree for a change of content, remembers the digest of what the row holds
// now, has the conference pushed once all is committed, and returns the version.
func (h *House) raiseContent(ctx context.Context, tx *gorm.DB, conferenceID string) (int64, error) {
	c, _, err := h.readContent(tx, conferenceID)
	if err != nil {
		return 0, err
	}
	if err := presence.Raise(tx, []string{conferenceID}, presence.Raised{Tree: true}); err != nil {
		return 0, err
	}
	err = tx.Table("conference_versions").Where("conference_id = ?", conferenceID).
		Updates(map[string]any{"content_version": gorm.Expr("tree_version"), "content_digest": c.digest}).Error
	if err != nil {
		return 0, fmt.Errorf("remember content: %w", err)
	}
	versions, err := presence.ReadVersions(tx, conferenceID)
	if err != nil {
		return 0, err
	}
	store.AfterCommit(ctx, func() { h.mark(conferenceID, aboutContent) })
	return versions.Tree, nil
}

// Push reads the row again, whoever wrote it, raises the version and has it pushed. It returns the version.
func (h *House) Push(ctx context.Context, conferenceID string) (int64, error) {
	if err := h.adopt(ctx, conferenceID, true); err != nil {
		return 0, err
	}
	var v presence.Versions
	err := h.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		v, err = presence.ReadVersions(tx, conferenceID)
		return err
	})
	return v.Tree, err
}

// adopt raises the version if the row holds other content than the version stands for, or in any case if always is
// set. Several nodes may notice the same foreign change; only the first raises.
func (h *House) adopt(ctx context.Context, conferenceID string, always bool) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		c, versions, err := h.readContent(tx, conferenceID)
		if err != nil {
			return err
		}
		if c.is(versions.ContentDigest) && !always {
			return nil
		}
		_, err = h.raiseContent(ctx, tx, conferenceID)
		return err
	})
}
