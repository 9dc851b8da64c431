package presence

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

const (
	trimFirst   = time.Minute // after the start, which has other things to do
	trimEvery   = time.Hour
	trimPause   = 50 * time.Millisecond // between two batches, in which others write
	nodesKept   = 24 * time.Hour        // how long a node that is gone is shown
	barsTrimmed = 200                   // of one round; the condition is a chain of ORs
)

// trim deletes what nobody needs any more, now and then until ctx is done.
func (p *Presence) trim(ctx context.Context) error {
	for wait := p.trimFirst; ; wait = p.trimEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		_ = p.round(ctx, "delete old sessions, nodes and bars", p.trimOnce)
	}
}

func (p *Presence) trimOnce(ctx context.Context) (err error) {
	for _, batch := range []func(context.Context) (more bool, err error){p.trimSessions, p.trimAliases, p.trimBars, p.trimNodes} {
		for more := true; more; {
			if more, err = batch(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(trimPause):
			}
		}
	}
	return nil
}

// trimSessions deletes sessions that were closed longer ago than the retention.
func (p *Presence) trimSessions(ctx context.Context) (more bool, err error) {
	if p.cfg.Retention == 0 {
		return false, nil
	}
	err = p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		var ids []string
		err := tx.Model(&sessionRow{}).Where("closed_at < "+clock(tx)+" - ?", p.cfg.Retention.Milliseconds()).Order("closed_at").Limit(chunk).Pluck("id", &ids).Error
		if more = len(ids) == chunk; err != nil || len(ids) == 0 {
			return err
		}
		return tx.Where("id IN ?", ids).Delete(&sessionRow{}).Error
	})
	if err != nil {
		return false, fmt.Errorf("delete old sessions: %w", err)
	}
	return more, nil
}

// trimBars deletes bars that are over. The table is small, so it needs no index for that.
func (p *Presence) trimBars(ctx context.Context) (more bool, err error) {
	err = p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		var rows []barRow
		err := tx.Where("until_at <= " + clock(tx)).Order("user_id, conference_id").Limit(barsTrimmed).Find(&rows).Error
		if more = len(rows) == barsTrimmed; err != nil || len(rows) == 0 {
			return err
		}
		keys := make([]pair, len(rows))
		for i, r := range rows {
			keys[i] = pair{r.UserID, r.ConferenceID}
		}
		over := "until_at <= " + clock(tx) // one of them may have been renewed meanwhile
		return tx.Where(store.Pairs(tx, "user_id", "conference_id", keys)).Where(over).Delete(&barRow{}).Error
	})
	if err != nil {
		return false, fmt.Errorf("delete old bars: %w", err)
	}
	return more, nil
}

// trimNodes deletes nodes that have been gone for a day and whose sessions are all closed.
func (p *Presence) trimNodes(ctx context.Context) (more bool, err error) {
	err = p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Exec(`DELETE FROM nodes WHERE state <> ? AND heartbeat_at < `+clock(tx)+` - ? AND NOT EXISTS (
			SELECT 1 FROM presence_sessions s WHERE s.node_id = nodes.id AND s.closed_at IS NULL)`, nodeUp, nodesKept.Milliseconds()).Error
	})
	if err != nil {
		return false, fmt.Errorf("delete old nodes: %w", err)
	}
	return false, nil
}
