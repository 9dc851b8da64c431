package conference

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// shareDue looks whether somebody who shared is still there: in his session, or in another of the same kind.
func (h *House) shareDue(ctx context.Context, conferenceID string) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		d, err := h.draft(ctx, tx, conferenceID)
		if err == ErrEnded { //nolint:errorlint // draft returns it as it is
			return dropShare(tx, conferenceID) // its tree is frozen as it was
		}
		if err != nil {
			return err
		}
		now, err := h.DB.Now(ctx)
		if err != nil {
			return err
		}
		var row shareRow
		err = tx.Where("conference_id = ? AND due_at <= ?", conferenceID, now).Take(&row).Error
		if store.NotFound(err) {
			return nil // another node was here
		}
		if err != nil {
			return fmt.Errorf("read share: %w", err)
		}
		if who, ok := sharing(d.after.text[screenSection]); !ok || who.userID != row.UserID {
			return dropShare(tx, conferenceID)
		}
		if row.SessionID == "" {
			return h.endShare(ctx, tx, d, shareOffline)
		}
		session, reason, err := sessionFor(tx, row)
		switch {
		case err != nil:
			return err
		case session == "":
			return h.endShare(ctx, tx, d, string(reason))
		}
		row.SessionID, row.DueAt = session, nil
		return putShare(tx, row)
	})
}

// sessionRow is what we read of a session.
type sessionRow struct {
	ID       string
	OpenedAt int64
	ClosedAt *int64
	Reason   presence.Reason
}

// sessionFor returns an open session that carries on a sharing, or "" and why there is none.
func sessionFor(tx *gorm.DB, row shareRow) (session string, why presence.Reason, err error) {
	var open []sessionRow
	// Without an order, which would have SQLite walk through the history of the conference.
	err = tx.Table("presence_sessions").Select("id, opened_at").
		Where("conference_id = ? AND user_id = ? AND closed_at IS NULL AND client_type = ?", row.ConferenceID, row.UserID, row.ClientType).Scan(&open).Error
	if err != nil {
		return "", "", fmt.Errorf("find another session of a presenter: %w", err)
	}
	for _, s := range open {
		if s.ID == row.SessionID {
			return s.ID, "", nil
		}
	}
	if len(open) > 0 {
		newest := slices.MaxFunc(open, func(a, b sessionRow) int { return cmp.Or(cmp.Compare(a.OpenedAt, b.OpenedAt), cmp.Compare(a.ID, b.ID)) })
		return newest.ID, "", nil
	}
	closed, err := readSessions(tx, []string{row.SessionID})
	if err != nil {
		return "", "", err
	}
	return "", told(closed[row.SessionID].Reason), nil
}

// readSessions returns sessions by their ids.
func readSessions(tx *gorm.DB, ids []string) (map[string]sessionRow, error) {
	var rows []sessionRow
	if err := tx.Table("presence_sessions").Select("id, closed_at, reason").Where("id IN ?", ids).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("read sessions of presenters: %w", err)
	}
	out := make(map[string]sessionRow, len(rows))
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}

// told is the reason as outsiders are told it.
func told(why presence.Reason) presence.Reason {
	switch why {
	case presence.Left, presence.Lost, presence.NodeLost:
		return why
	case "":
		return presence.Lost // its row is gone
	}
	return presence.Kicked
}
