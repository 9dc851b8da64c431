package conference

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
)

// pollChunk is how many conferences one query of poll asks for.
const pollChunk = 200

// readStamps returns versions and tree row stamps of many conferences.
func (h *House) readStamps(ctx context.Context, ids []string) (map[string]stamp, error) {
	out := make(map[string]stamp, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), pollChunk)
		chunk := ids[:n]
		ids = ids[n:]
		err := h.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
			versions, err := presence.ReadMany(tx, chunk)
			if err != nil {
				return err
			}
			var rows []treeRow
			if err := tx.Select("conference_id", stamped).Where("conference_id IN ?", chunk).Find(&rows).Error; err != nil {
				return fmt.Errorf("read stamps of tree rows: %w", err)
			}
			for _, id := range chunk {
				out[id] = stamp{versions: versions[id]}
			}
			for _, r := range rows {
				out[r.ConferenceID] = stamp{versions[r.ConferenceID], r.Stamp}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ensureRow makes an empty tree row if there is none.
func ensureRow(tx *gorm.DB, conferenceID string) error {
	err := tx.Clauses(clause.OnConflict{DoNothing: true}).Select("conference_id").Create(&treeRow{ConferenceID: conferenceID}).Error
	if err != nil {
		return fmt.Errorf("make tree row: %w", err)
	}
	return nil
}

// writeBack puts the number of people online into head_data, for backends that read the table. It never writes over
// what it did not read, and leaves a head_data that is not an object alone.
func (h *House) writeBack(ctx context.Context, s *snapshot) error {
	if s.content.broken[head] {
		return nil
	}
	if _, ok := rawjson.Object(s.content.text[head]); !ok && s.content.text[head] != nil {
		return nil
	}
	want := string(withCount(s.content.text[head], s.roster.Online))
	if want == s.headColumn || s.headColumn == "" && s.roster.Online == 0 {
		return nil
	}
	return h.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		if s.headColumn == "" {
			if err := ensureRow(tx, s.conferenceID); err != nil {
				return err
			}
		}
		err := tx.Table("conference_nodes").Where("conference_id = ? AND COALESCE(head_data, '') = ?", s.conferenceID, s.headColumn).Update("head_data", want).Error
		if err != nil {
			return fmt.Errorf("write head_data: %w", err)
		}
		return nil
	})
}
