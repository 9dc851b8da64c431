package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/webhook"
)

// Conference is a registered conference. EndedAt, in milliseconds since 1970, is nil while it lives.
type Conference struct {
	ID, Title            string
	EndedAt              *int64
	CreatedAt, UpdatedAt int64
	Online               int // people online or reconnecting now
}

// Registration is what may be said of a conference when it is registered; nil fields stay as they are.
type Registration struct {
	Title  *string
	Status json.RawMessage // the section conferenceStatus
	Ended  *bool
}

// ErrNoConference is returned for a conference that nobody registered.
var ErrNoConference = fault.New(fault.NotFound, "not_found", "there is no such conference")

// Register makes or changes a conference. created is true if it is new. Ending one freezes its tree, tells its room
// and lets nobody in any more; ended:false lets it live again.
func (h *House) Register(ctx context.Context, conferenceID string, r Registration) (created bool, err error) {
	err = h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		row, ok, err := readConference(tx, conferenceID)
		if err != nil {
			return err
		}
		created = !ok
		if created {
			row = conferenceRow{ID: conferenceID, CreatedAt: now()}
		}
		if r.Title != nil {
			row.Title = *r.Title
		}
		if r.Ended != nil && !*r.Ended {
			row.EndedAt = nil
		}
		if err := putConference(tx, row); err != nil {
			return err
		}
		if r.Status != nil { // before an end freezes the tree, after a new beginning
			if _, err := h.PutSection(ctx, conferenceID, sections[status].name, r.Status, nil); err != nil {
				return err
			}
		}
		if r.Ended != nil && *r.Ended && row.EndedAt == nil {
			return h.end(ctx, tx, row)
		}
		return nil
	})
	return created, err
}

func putConference(tx *gorm.DB, row conferenceRow) error {
	row.UpdatedAt = now()
	err := tx.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"title", "ended_at", "updated_at"})}).Create(&row).Error
	if err != nil {
		return fmt.Errorf("write conference row: %w", err)
	}
	return nil
}

// end ends a conference, whose lock tx holds: its timer stops, and whoever shares does no more, before its tree freezes.
func (h *House) end(ctx context.Context, tx *gorm.DB, row conferenceRow) error {
	if err := h.halt(ctx, tx, row.ID); err != nil {
		return err
	}
	if err := h.EndShare(ctx, row.ID, "", ShareEnded); err != nil {
		return err
	}
	at := now()
	row.EndedAt = &at
	if err := putConference(tx, row); err != nil {
		return err
	}
	if err := h.tellAt(ctx, row.ID, "conference_ended", at); err != nil {
		return err
	}
	return h.Webhooks.Append(ctx, []webhook.Event{{Type: "conference.ended", ConferenceID: row.ID, At: at}})
}

// Remove deletes a conference with its members and its tree, and disconnects everybody in it for good. Its versions
// stay, so that a later conference of that name does not begin at a version somebody has seen.
func (h *House) Remove(ctx context.Context, conferenceID string) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		row, ok, err := readConference(tx, conferenceID)
		switch {
		case err != nil:
			return err
		case !ok:
			return ErrNoConference
		case row.EndedAt == nil: // else nobody shares
			if err := h.EndShare(ctx, conferenceID, "", ShareEnded); err != nil {
				return err
			}
		}
		for table, column := range map[string]string{"conferences": "id", "conference_nodes": "conference_id", "conference_timers": "conference_id", "conference_shares": "conference_id"} {
			if err := tx.Exec("DELETE FROM "+table+" WHERE "+column+" = ?", conferenceID).Error; err != nil {
				return fmt.Errorf("delete from %s: %w", table, err)
			}
		}
		if _, err := h.Presence.ReplaceMembers(ctx, conferenceID, nil); err != nil {
			return err
		}
		if err := h.empty(ctx, conferenceID); err != nil {
			return err
		}
		known, _, err := readKnown(tx, conferenceID) // the tree is gone, the versions go on
		if err != nil {
			return err
		}
		_, err = h.raise(ctx, tx, known.Tree, known.Versions, content{})
		return err
	})
}

// empty sends everybody out of a conference for good, once the transaction of ctx is committed.
func (h *House) empty(ctx context.Context, conferenceID string) error {
	const reason = "conference_deleted"
	if err := h.Cluster.End(ctx, hall.Audience{All: true, ConferenceID: conferenceID}, reason); err != nil {
		return err
	}
	store.AfterCommit(ctx, func() {
		ctx, cancel := afterwards(ctx, 0)
		defer cancel()
		ids, err := h.Presence.CloseConference(ctx, conferenceID)
		h.endSessions(ctx, ids, reason)
		if err != nil {
			h.Log.Warn("could not close the sessions of a deleted conference, their nodes will", slog.String("conference", conferenceID), slog.Any("error", err))
		}
	})
	return nil
}

// Get returns a registered conference.
func (h *House) Get(ctx context.Context, conferenceID string) (Conference, error) {
	var c Conference
	err := h.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error {
		row, ok, err := readConference(tx, conferenceID)
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoConference
		}
		online, err := h.Presence.OnlineIn(ctx, []string{conferenceID})
		c = row.conference(online[conferenceID])
		return err
	})
	return c, err
}

// List returns registered conferences in the order of their ids, those behind after. With a text only those in whose id or
// title it occurs, in any case.
func (h *House) List(ctx context.Context, text, after string, limit int) ([]Conference, error) {
	var list []Conference
	err := h.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error {
		var rows []conferenceRow
		if text != "" {
			part := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
			tx = tx.Where("(LOWER(id) LIKE LOWER(?) ESCAPE '!' OR LOWER(title) LIKE LOWER(?) ESCAPE '!')", part, part)
		}
		if err := tx.Where("id > ?", after).Order("id").Limit(limit).Find(&rows).Error; err != nil {
			return fmt.Errorf("list conferences: %w", err)
		}
		ids := make([]string, 0, len(rows))
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		online, err := h.Presence.OnlineIn(ctx, ids)
		if err != nil {
			return err
		}
		for _, r := range rows {
			list = append(list, r.conference(online[r.ID]))
		}
		return nil
	})
	return list, err
}

func (r conferenceRow) conference(online int) Conference {
	return Conference{r.ID, r.Title, r.EndedAt, r.CreatedAt, r.UpdatedAt, online}
}
