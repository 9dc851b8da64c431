package conference

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// draft is a tree that is being changed in a transaction that holds the conference's lock.
type draft struct {
	conferenceID  string
	before, after content // after is what is to stand there
	versions      presence.Versions
	foreign       bool // somebody else wrote the row and did not raise versions
}

// draft takes the lock of a conference and reads what is in its tree. A conference that is over is ErrEnded.
func (h *House) draft(ctx context.Context, tx *gorm.DB, conferenceID string) (*draft, error) {
	if err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
		return nil, err
	}
	registered, ok, err := readConference(tx, conferenceID)
	if err != nil {
		return nil, err
	}
	if ok && registered.EndedAt != nil {
		return nil, ErrEnded
	}
	c, versions, err := h.readContent(tx, conferenceID)
	if err != nil {
		return nil, err
	}
	return &draft{conferenceID: conferenceID, before: c, after: c, versions: versions, foreign: !c.is(versions.ContentDigest)}, nil
}

// fits refuses a tree that is too large for one of ours. What nobody is there to be told of is saved without it.
func (h *House) fits(d *draft) error {
	if d.after.size() > h.MaxTreeBytes {
		return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("the tree would be larger than %d bytes", h.MaxTreeBytes))
	}
	return nil
}

// save writes what is new in a draft, raises the version, and has it pushed once all is committed.
func (h *House) save(ctx context.Context, tx *gorm.DB, d *draft) (Edited, error) {
	done := Edited{Version: d.versions.Tree, Changed: []string{}}
	columns := map[string]any{}
	for i, s := range sections {
		if differs(d.before, d.after, i) {
			columns[s.column] = d.after.column(i)
			done.Changed = append(done.Changed, s.name)
		}
	}
	if len(columns) == 0 && !d.foreign {
		return done, nil
	}
	if err := h.keepCount(ctx, d.conferenceID, d.after, columns); err != nil {
		return Edited{}, err
	}
	if err := h.writeContent(tx, d.conferenceID, columns, string(d.after.text[status])); err != nil {
		return Edited{}, err
	}
	var err error
	done.Version, err = h.raiseContent(ctx, tx, d.conferenceID)
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
	store.AfterCommit(ctx, func() { h.Show(conferenceID) })
	return versions.Tree, nil
}
