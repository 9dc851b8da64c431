package message

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/notice"
	"rollcall/internal/store"
)

// rowBatch bounds the pairs of one statement; see store.Pairs.
const rowBatch = 200

// key is a notice and a user.
type key struct{ notice, user string }

// wanted returns the conferences of those of the notices that must be acknowledged.
func wanted(tx *gorm.DB, ids []string) (map[string]string, error) {
	conferences := map[string]string{}
	for part := range slices.Chunk(distinct(ids), rowBatch) {
		var rows []struct{ ID, ConferenceID string }
		if err := tx.Table("notices").Select("id", "conference_id").Where("id IN ? AND require_ack = ?", part, true).Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, r := range rows {
			conferences[r.ID] = r.ConferenceID
		}
	}
	return conferences, nil
}

// over returns those of the pairs, at most rowBatch, for which there is nothing more to wait: acknowledged or read on
// whatever node, expired, or taken back.
func (m *Messages) over(ctx context.Context, pairs []key) (map[key]bool, error) {
	done := map[key]bool{}
	err := m.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		clear(done)
		keys, ids := make([][2]string, len(pairs)), make([]string, len(pairs))
		for i, p := range pairs {
			keys[i], ids[i] = [2]string{p.notice, p.user}, p.notice
		}
		var recalled []string
		if err := tx.Table("notices").Where("id IN ? AND state = ?", distinct(ids), notice.Recalled).Pluck("id", &recalled).Error; err != nil {
			return err
		}
		for _, p := range pairs {
			done[p] = slices.Contains(recalled, p.notice)
		}
		var rows []struct{ NoticeID, UserID string }
		err := tx.Table("notice_deliveries").Select("notice_id", "user_id").Where(store.Pairs(tx, "notice_id", "user_id", keys)).
			Where("(acked_at IS NOT NULL OR read_at IS NOT NULL OR state IN ?)", []string{notice.Acked, notice.Read, notice.Expired, notice.Recalled}).Find(&rows).Error
		for _, r := range rows {
			done[key{r.NoticeID, r.UserID}] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look what was acknowledged: %w", err)
	}
	return done, nil
}

// everybodyReconnecting returns who is reconnecting, in a conference or anywhere, and when his grace ends.
func (m *Messages) everybodyReconnecting(ctx context.Context, conferenceID string) (map[string]int64, error) {
	ends := map[string]int64{}
	err := m.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		clear(ends)
		q := tx.Table("presence").Select("user_id, MAX(offline_due_at) AS ends").Where("state = 'reconnecting' AND offline_due_at IS NOT NULL")
		if conferenceID != "" {
			q = q.Where("conference_id = ?", conferenceID)
		}
		var rows []struct {
			UserID string
			Ends   int64
		}
		err := q.Group("user_id").Limit(holdMost).Find(&rows).Error
		for _, r := range rows {
			ends[r.UserID] = r.Ends
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who is reconnecting: %w", err)
	}
	return ends, nil
}
