package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
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
		d, err := h.draft(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		if ifMatch != nil && (d.foreign || d.versions.Content > *ifMatch) {
			return fault.New(fault.Precondition, "version_mismatch", "a section has changed since that version")
		}
		if err := change(&d.after); err != nil {
			return err
		}
		if err := h.fits(d); err != nil {
			return err
		}
		if done, err = h.save(ctx, tx, d); err != nil {
			return err
		}
		if d.foreign || slices.Contains(done.Changed, sections[timerSection].name) || slices.Contains(done.Changed, sections[screenSection].name) {
			return dropStale(tx, conferenceID, d.after)
		}
		return nil
	})
	return done, err
}

// Push reads the row again, whoever wrote it, raises the version and has it pushed. It returns the version.
func (h *House) Push(ctx context.Context, conferenceID string) (int64, error) {
	return h.adopt(ctx, conferenceID, true)
}

// adopt raises the version if the row holds other content than the version stands for, or in any case if always is
// set, and returns it. Several nodes may notice the same foreign change; only the first raises.
func (h *House) adopt(ctx context.Context, conferenceID string, always bool) (version int64, err error) {
	err = h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		known, err := lockKnown(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		version = known.Versions.Tree
		c := known.Tree.content(known.Versions, content{})
		if c.is(known.Versions.ContentDigest) && !always {
			return nil
		}
		if version, err = h.raise(ctx, tx, known.Tree, known.Versions, c); err != nil {
			return err
		}
		return dropStale(tx, conferenceID, c)
	})
	return version, err
}
