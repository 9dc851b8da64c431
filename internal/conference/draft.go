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
	row           treeRow // as it stands there
	before, after content // after is what is to stand there
	versions      presence.Versions
	foreign       bool // somebody else wrote the row and did not raise versions
}

// draft takes the lock of a conference and reads what is in its tree. A conference that is over is ErrEnded.
func (h *House) draft(ctx context.Context, tx *gorm.DB, conferenceID string) (*draft, error) {
	known, err := lockKnown(ctx, tx, conferenceID)
	if err != nil {
		return nil, err
	}
	if known.EndedAt != nil {
		return nil, ErrEnded
	}
	c := known.Tree.content(known.Versions, h.remembered(conferenceID))
	return &draft{conferenceID: conferenceID, row: known.Tree, before: c, after: c, versions: known.Versions, foreign: !c.is(known.Versions.ContentDigest)}, nil
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
	columns := map[string]*string{}
	for i, s := range sections {
		if differs(d.before, d.after, i) {
			text := d.after.column(i)
			if columns[s.column] = text; text != nil {
				d.after.columns[i] = *text
			}
			done.Changed = append(done.Changed, s.name)
		}
	}
	if len(columns) == 0 && !d.foreign {
		return done, nil
	}
	if err := h.keepCount(ctx, d.conferenceID, d.after, columns); err != nil {
		return Edited{}, err
	}
	if err := writeTree(tx, d.row, columns); err != nil {
		return Edited{}, err
	}
	d.row.set(columns)
	if _, ok := columns[sections[status].column]; ok {
		d.versions.StatusJSON = string(d.after.text[status])
	}
	var err error
	done.Version, err = h.raise(ctx, tx, d.row, d.versions, d.after)
	return done, err
}

// keepCount puts the number of people online into head_data, if that is to be written.
func (h *House) keepCount(ctx context.Context, conferenceID string, c content, columns map[string]*string) error {
	if _, ok := columns[sections[head].column]; !ok {
		return nil
	}
	online, err := h.Presence.OnlineIn(ctx, []string{conferenceID})
	if err != nil {
		return err
	}
	text := string(withCount(c.text[head], online[conferenceID]))
	columns[sections[head].column] = &text
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

// writeTree writes columns of the tree row that was read as row.
func writeTree(tx *gorm.DB, row treeRow, columns map[string]*string) error {
	if row.missing() {
		if err := ensureRow(tx, row.ConferenceID); err != nil {
			return err
		}
	}
	if len(columns) == 0 {
		return nil
	}
	set := make(map[string]any, len(columns))
	for name, text := range columns {
		set[name] = text
	}
	if err := tx.Table("conference_nodes").Where("conference_id = ?", row.ConferenceID).Updates(set).Error; err != nil {
		return fmt.Errorf("write tree row: %w", err)
	}
	return nil
}

// raise raises the version of a tree whose content has changed, and returns it. tx holds the lock of the conference: row is what stands
// there now, as far as it is known what that says, and v are the versions so far. What content the new one is of is remembered, and
// pushed once all is committed.
func (h *House) raise(ctx context.Context, tx *gorm.DB, row treeRow, v presence.Versions, known content) (int64, error) {
	version := v.Tree + 1
	v.Tree, v.Content, v.ContentDigest = version, version, row.content(v, known).digest
	err := tx.Table("conference_versions").Where("conference_id = ?", row.ConferenceID).Updates(map[string]any{
		"tree_version": version, "content_version": version, "content_digest": v.ContentDigest, "status_json": v.StatusJSON,
	}).Error
	if err != nil {
		return 0, fmt.Errorf("raise the version of the content: %w", err)
	}
	row.Stamp = "" // the database has set another
	store.AfterCommit(ctx, func() { h.show(ctx, row.ConferenceID, &knownRow{Versions: v, Tree: row}) })
	return version, nil
}
