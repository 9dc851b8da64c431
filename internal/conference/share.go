package conference

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
	"rollcall/internal/webhook"
)

// Share is who shares the screen of a conference, and by which session: "" over REST. Of a session ClientType may be
// left out; its row says it.
type Share struct{ ConferenceID, UserID, SessionID, ClientType string }

// Reasons for which a sharing ends, beside presence's own. EndedByBackend is told as ended, and not to
// meeting.end_share_url: who asks need not hear it in the old way.
const (
	ShareEnded     = "ended"
	EndedByBackend = "backend"
	shareOffline   = "offline"
)

// shareRow is somebody who shares and whom we watch. The tree alone says who shares; a row of somebody else is void.
type shareRow struct {
	ConferenceID string `gorm:"column:conference_id;primaryKey"`
	UserID       string `gorm:"column:user_id"`
	SessionID    string `gorm:"column:session_id"`
	ClientType   string `gorm:"column:client_type"`
	DueAt        *int64 `gorm:"column:due_at"` // when somebody must look whether he is still there
}

// TableName implements gorm's Tabler.
func (shareRow) TableName() string { return "conference_shares" }

// Share lets a user share his screen. If he does already, the sharing belongs to the new session from now on. Faults:
// Conflict when somebody else shares or the section is not an object, Invalid when the session is not an open one of
// this user in this conference.
func (h *House) Share(ctx context.Context, s Share) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		d, err := h.draft(ctx, tx, s.ConferenceID)
		if err != nil {
			return err
		}
		if now, ok := sharing(d.after.text[screenSection]); ok && now.userID != s.UserID {
			return fault.New(fault.Conflict, "conflict", "somebody else shares the screen")
		}
		row := shareRow{ConferenceID: s.ConferenceID, UserID: s.UserID, SessionID: s.SessionID}
		if s.SessionID != "" {
			if row.ClientType, err = openSession(tx, s); err != nil {
				return err
			}
		}
		name, err := h.nameOf(ctx, tx, s.ConferenceID, s.UserID)
		if err != nil {
			return err
		}
		if err := mergeScreen(&d.after, map[string]string{"isShare": "1", "userId": s.UserID, "userName": name}); err != nil {
			return err
		}
		if err := h.fits(d); err != nil {
			return err
		}
		if _, err := h.save(ctx, tx, d); err != nil {
			return err
		}
		return putShare(tx, row)
	})
}

// openSession returns the client type of a session that shares. Ids of sessions are ASCII, and MariaDB refuses to compare them
// with anything else.
func openSession(tx *gorm.DB, s Share) (string, error) {
	missing := fault.Invalidf("sessionId must be an open session of the user in this conference")
	if strings.ContainsFunc(s.SessionID, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", missing
	}
	var types []string
	err := tx.Table("presence_sessions").Where("id = ? AND conference_id = ? AND user_id = ? AND closed_at IS NULL", s.SessionID, s.ConferenceID, s.UserID).
		Limit(1).Pluck("client_type", &types).Error
	if err != nil {
		return "", fmt.Errorf("read session: %w", err)
	}
	if len(types) == 0 {
		return "", missing
	}
	return types[0], nil
}

func putShare(tx *gorm.DB, row shareRow) error {
	replace := clause.OnConflict{Columns: []clause.Column{{Name: "conference_id"}}, DoUpdates: clause.AssignmentColumns([]string{"user_id", "session_id", "client_type", "due_at"})}
	if err := tx.Clauses(replace).Create(&row).Error; err != nil {
		return fmt.Errorf("write share: %w", err)
	}
	return nil
}

func dropShare(tx *gorm.DB, conferenceID string) error {
	if err := tx.Where("conference_id = ?", conferenceID).Delete(&shareRow{}).Error; err != nil {
		return fmt.Errorf("drop share: %w", err)
	}
	return nil
}

// EndShare ends the sharing of a user, or with "" of whoever shares. Somebody else's is a Conflict fault; that
// nobody shares is fine. reason is told to the backend.
func (h *House) EndShare(ctx context.Context, conferenceID, userID, reason string) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		d, err := h.draft(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		who, ok := sharing(d.after.text[screenSection])
		switch {
		case !ok:
			return dropShare(tx, conferenceID)
		case userID != "" && userID != who.userID:
			return fault.New(fault.Conflict, "conflict", "somebody else shares the screen")
		}
		return h.endShare(ctx, tx, d, reason)
	})
}

// endShare writes that nobody shares any more and tells the backend.
func (h *House) endShare(ctx context.Context, tx *gorm.DB, d *draft, reason string) error {
	who, _ := sharing(d.after.text[screenSection])
	if err := mergeScreen(&d.after, map[string]string{"isShare": "0"}); err != nil {
		return err
	}
	if _, err := h.save(ctx, tx, d); err != nil {
		return err
	}
	if err := dropShare(tx, d.conferenceID); err != nil {
		return err
	}
	e := webhook.Event{Type: "screen_share.ended", ConferenceID: d.conferenceID}
	if reason != EndedByBackend {
		plain, err := rawjson.Encode(struct {
			ConferenceID string `json:"conferenceId"`
			UserID       string `json:"userId"`
			UserName     string `json:"userName"` // always blank: what backends were told before
		}{d.conferenceID, who.userID, ""})
		if err != nil {
			return fmt.Errorf("encode end of share: %w", err)
		}
		e.Plain = plain
	} else {
		reason = ShareEnded
	}
	e.Data = map[string]any{"userId": who.userID, "userName": who.userName, "reason": reason}
	return h.Webhooks.Append(ctx, []webhook.Event{e})
}

// dropStale deletes what we remember of timer and sharing where the tree, written by somebody else, says otherwise.
func dropStale(tx *gorm.DB, conferenceID string, c content) error {
	timers := tx.Where("conference_id = ?", conferenceID)
	if t, err := readTimer(c); err == nil && t.state == running {
		timers = timers.Where("ends_at <> ?", t.endsAt)
	}
	if err := timers.Delete(&timerRow{}).Error; err != nil {
		return fmt.Errorf("drop stale timer: %w", err)
	}
	shares := tx.Where("conference_id = ?", conferenceID)
	if who, ok := sharing(c.text[screenSection]); ok {
		shares = shares.Where("user_id <> ?", who.userID)
	}
	if err := shares.Delete(&shareRow{}).Error; err != nil {
		return fmt.Errorf("drop stale share: %w", err)
	}
	return nil
}
