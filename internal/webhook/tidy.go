package webhook

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
)

const (
	countMax  = 100_000 // rows that are counted; more are said to be as many
	orphanMax = 50      // lanes looked at in one round
)

// tidy counts what is pending, and takes out what is old, until ctx ends.
func (o *Outbox) tidy(ctx context.Context) {
	tick := time.NewTicker(o.pace.count)
	defer tick.Stop()
	trim := time.NewTimer(o.pace.trimFirst)
	defer trim.Stop()
	for {
		o.net.Call("count webhooks", func() { o.count(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-trim.C:
			o.net.Call("trim webhooks", func() { o.trim(ctx) })
			trim.Reset(o.pace.trimEvery)
		}
	}
}

const (
	countSQL = "SELECT COUNT(*) FROM (SELECT id FROM webhook_outbox WHERE state = ? LIMIT ?) AS p"

	// oldestSQL goes by the id, which sorts by time.
	oldestSQL = "SELECT created_at FROM webhook_outbox WHERE state = ? ORDER BY id LIMIT 1"
)

func (o *Outbox) count(ctx context.Context) {
	var n, oldest int64
	err := o.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		if err := tx.Raw(countSQL, pending, countMax).Scan(&n).Error; err != nil {
			return err
		}
		return tx.Raw(oldestSQL, pending).Scan(&oldest).Error
	})
	if ctx.Err() != nil {
		return
	}
	o.trouble.note("count what is pending", err)
	if err == nil {
		o.metrics.waiting.Store(n)
		o.metrics.oldest.Store(oldest)
	}
}

// trim deletes what was kept for long enough and gives up what belongs to no endpoint any more.
func (o *Outbox) trim(ctx context.Context) {
	now := time.Now()
	keep := o.pace.keepSent
	if o.retention > 0 {
		keep = min(keep, o.retention)
		o.drop(ctx, dead, now.Add(-o.retention))
	}
	o.drop(ctx, sent, now.Add(-keep))
	o.buryOrphans(ctx)
}

// drop deletes the events in a state that are older than before, a batch at a time.
func (o *Outbox) drop(ctx context.Context, state string, before time.Time) {
	for ctx.Err() == nil {
		var n int
		err := o.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			var ids []string
			if err := oldQuery(tx, state, before).Limit(o.pace.trimBatch).Pluck("id", &ids).Error; err != nil {
				return err
			}
			if n = len(ids); n == 0 {
				return nil
			}
			return tx.Where("id IN ? AND state = ?", ids, state).Delete(&outboxRow{}).Error
		})
		if ctx.Err() == nil {
			o.trouble.note("trim the outbox", err)
		}
		if err != nil || n < o.pace.trimBatch {
			return
		}
		pause(ctx, o.pace.trimPause)
	}
}

// oldQuery goes by the id, which sorts by time.
func oldQuery(tx *gorm.DB, state string, before time.Time) *gorm.DB {
	return tx.Model(&outboxRow{}).Where("state = ? AND id < ?", state, id.Floor(before)).Order("id")
}

// buryOrphans gives up what waits for endpoints that this node does not know, once nobody has looked after their lanes for a
// day: another node, with a newer or an older configuration, may still do so.
func (o *Outbox) buryOrphans(ctx context.Context) {
	for ctx.Err() == nil {
		var lanes []laneRow
		var now int64
		err := o.db.Read(ctx, func(ctx context.Context, tx *gorm.DB) (err error) {
			lanes = nil
			if now, err = o.db.Now(ctx); err != nil {
				return err
			}
			return o.orphanQuery(tx, now).Limit(orphanMax).Find(&lanes).Error
		})
		for _, l := range lanes {
			if err == nil {
				err = o.bury(ctx, l, now)
			}
		}
		if ctx.Err() == nil {
			o.trouble.note("give up events without an endpoint", err)
		}
		if err != nil || len(lanes) == 0 {
			return
		}
		pause(ctx, o.pace.trimPause)
	}
}

func (o *Outbox) orphanQuery(tx *gorm.DB, now int64) *gorm.DB {
	known := []string{""} // NOT IN of nothing is an error
	for key := range o.byKey {
		known = append(known, key)
	}
	return tx.Where("due_at <= ? AND COALESCE(endpoint, '') NOT IN ?", now-o.retry.dead.Milliseconds(), known).Order("due_at")
}

// bury gives up what is old in a lane, at most a batch of it. The lane is then due for as long as its next event has waited.
func (o *Outbox) bury(ctx context.Context, row laneRow, now int64) error {
	l, was := row.lane(), *row.DueAt
	var n int64
	err := o.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		n = 0
		if ours, err := setDue(tx, l, was, &was); err != nil || !ours {
			return err
		}
		var ids []string
		err := tx.Model(&outboxRow{}).Where("endpoint = ? AND conference_id = ? AND state = ? AND created_at <= ?", l.endpoint, l.conference, pending, now-o.retry.dead.Milliseconds()).
			Order("seq").Limit(o.pace.trimBatch).Pluck("id", &ids).Error
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			r := tx.Model(&outboxRow{}).Where("id IN ? AND state = ?", ids, pending).Updates(map[string]any{"state": dead, "last_error": "its endpoint is not configured any more"})
			if n = r.RowsAffected; r.Error != nil {
				return r.Error
			}
		}
		head, err := headOf(tx, l)
		if err != nil {
			return err
		}
		var due *int64
		if head != nil {
			due = new(free(head.CreatedAt))
		}
		_, err = setDue(tx, l, was, due)
		return err
	})
	if err != nil {
		return fmt.Errorf("give up a lane: %w", err)
	}
	o.metrics.dead.Add(float64(n))
	return nil
}
