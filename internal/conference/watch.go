package conference

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// watchShares notes, in the transaction in which presence changes, which of those who share must be looked after and
// when. That is one read of a small table by its key; the rest happens only to people who share.
func (h *House) watchShares(ctx context.Context, tx *gorm.DB, changes []presence.Change) error {
	last := map[[2]string]presence.Change{}
	var confs []string
	for _, c := range changes {
		last[[2]string{c.ConferenceID, c.UserID}] = c
		confs = append(confs, c.ConferenceID)
	}
	slices.Sort(confs)
	var rows []shareRow
	if err := tx.Where("conference_id IN ?", slices.Compact(confs)).Order("conference_id").Find(&rows).Error; err != nil {
		return fmt.Errorf("read shares: %w", err)
	}
	for _, r := range rows {
		who := [2]string{r.ConferenceID, r.UserID}
		if c, ok := last[who]; ok {
			if err := h.watchShare(ctx, tx, r, c); err != nil {
				return err
			}
		}
		delete(last, who)
	}
	return h.watchOthers(ctx, tx, last)
}

// watchShare notes what a change means for somebody who shares. A sharing follows its user to another open session of
// the same kind at once; without any it ends now if he said good-bye, else when the grace is over that begins now.
func (h *House) watchShare(ctx context.Context, tx *gorm.DB, r shareRow, c presence.Change) error {
	at := c.At
	if c.To != presence.Offline {
		if r.SessionID == "" {
			return nil
		}
		session, why, err := sessionFor(tx, r)
		switch {
		case err != nil:
			return err
		case session == r.SessionID && r.DueAt == nil:
			return nil
		case session != "":
			r.SessionID, r.DueAt = session, nil
			return putShare(tx, r)
		}
		if !presence.Polite(why) {
			at += h.Grace.Milliseconds()
		}
	}
	if r.DueAt != nil && *r.DueAt <= at {
		return nil
	}
	r.DueAt = &at
	store.AfterCommit(ctx, h.shares.look)
	return putShare(tx, r)
}

// watchOthers notes those who went offline and share by what a backend wrote into the tree.
func (h *House) watchOthers(ctx context.Context, tx *gorm.DB, last map[[2]string]presence.Change) error {
	var confs []string
	for who, c := range last {
		if c.To == presence.Offline {
			confs = append(confs, who[0])
		}
	}
	if len(confs) == 0 {
		return nil
	}
	slices.Sort(confs)
	var rows []treeRow
	err := tx.Select("conference_id", "same_screen").Where("conference_id IN ? AND same_screen LIKE ?", slices.Compact(confs), "%isShare%").
		Order("conference_id").Find(&rows).Error
	if err != nil {
		return fmt.Errorf("read who shares: %w", err)
	}
	for _, r := range rows {
		section, _ := readSection(screenSection, r.columns()[screenSection], "")
		who, ok := sharing(section)
		c, known := last[[2]string{r.ConferenceID, who.userID}]
		if !ok || !known || c.To != presence.Offline {
			continue
		}
		if err := putShare(tx, shareRow{ConferenceID: r.ConferenceID, UserID: who.userID, DueAt: &c.At}); err != nil {
			return err
		}
		store.AfterCommit(ctx, h.shares.look)
	}
	return nil
}

// findLostShares looks after shares whose session was closed and nobody said so: a row that was repaired, or trimmed.
func (h *House) findLostShares(ctx context.Context) {
	lost, err := h.lostShares(ctx)
	for _, r := range lost {
		if err == nil {
			err = h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error { return h.watchLost(ctx, tx, r) })
		}
	}
	if ctx.Err() == nil {
		h.note("look after those who share", err)
	}
}

// lostShares returns the shares that nobody looks after and whose session is closed.
func (h *House) lostShares(ctx context.Context) (lost []shareRow, err error) {
	err = h.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		after := ""
		for {
			var rows []shareRow
			err := tx.Where("conference_id > ? AND session_id <> '' AND due_at IS NULL", after).Order("conference_id").Limit(dueBatch).Find(&rows).Error
			if err != nil || len(rows) == 0 {
				return err
			}
			ids := make([]string, len(rows))
			for i, r := range rows {
				ids[i], after = r.SessionID, r.ConferenceID
			}
			sessions, err := readSessions(tx, ids)
			if err != nil {
				return err
			}
			for _, r := range rows {
				if s, ok := sessions[r.SessionID]; !ok || s.ClosedAt != nil {
					lost = append(lost, r)
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read shares: %w", err)
	}
	return lost, nil
}

// watchLost does for one share what watchShare would have done when its session was closed.
func (h *House) watchLost(ctx context.Context, tx *gorm.DB, r shareRow) error {
	if _, err := presence.Lock(ctx, tx, []string{r.ConferenceID}); err != nil {
		return err
	}
	now, err := h.DB.Now(ctx)
	if err != nil {
		return err
	}
	err = tx.Where("conference_id = ? AND session_id = ?", r.ConferenceID, r.SessionID).Take(&r).Error
	if store.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read share: %w", err)
	}
	return h.watchShare(ctx, tx, r, presence.Change{At: now})
}
