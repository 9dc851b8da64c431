package presence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
)

// reconcile compares, until ctx is done, the sessions that are held with the rows that say so, and repairs
// both directions: lost closes, a database that was away, bugs, and hands that wrote the tables.
func (p *Presence) reconcile(ctx context.Context) error {
	tick := time.NewTicker(p.reconcileEvery)
	defer tick.Stop()
	for {
		_ = p.round(ctx, "close sessions of dead nodes", p.closeOrphans)
		_ = p.round(ctx, "compare sessions and rows", p.compare)
		_ = p.round(ctx, "look for users without sessions", p.wakeGhosts)
		select {
		case <-ctx.Done():
			return nil
		case <-p.orphaned:
		case <-tick.C:
		}
	}
}

// ownRow is an open session of this node and epoch, and what is said of its user.
type ownRow struct {
	Session sessionRow `gorm:"embedded"`
	State   State
}

// healing names, for the metric, what was wrong by what is done about it.
var healing = map[kind]string{closing: "not_held", look: "not_online", reopen: "no_row"}

// compare repairs the sessions of this node.
func (p *Presence) compare(ctx context.Context) error {
	epoch := p.currentEpoch()
	var rows []ownRow
	err := p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw(`SELECT s.*, COALESCE(p.state, '') AS state FROM presence_sessions s
			LEFT JOIN presence p ON p.conference_id = s.conference_id AND p.user_id = s.user_id
			WHERE s.node_id = ? AND s.epoch = ? AND s.closed_at IS NULL`, p.cfg.Node, epoch).Scan(&rows).Error
	})
	if err != nil {
		return fmt.Errorf("read own sessions: %w", err)
	}
	ops := p.differences(rows, epoch, time.Now())
	if ops, err = p.withoutEnded(ctx, ops); err != nil {
		return err
	}
	for _, o := range ops {
		p.meters.healed.WithLabelValues(healing[o.kind]).Inc()
	}
	return p.submit(ctx, ops)
}

// withoutEnded takes out of ops the sessions that are to be opened again and were closed for good by somebody, and has
// their sockets ended: a kick that was carried out on another node, of which this one has not heard.
func (p *Presence) withoutEnded(ctx context.Context, ops []*op) ([]*op, error) {
	var missing []string
	for _, o := range ops {
		if o.kind == reopen {
			missing = append(missing, o.row.ID)
		}
	}
	if len(missing) == 0 {
		return ops, nil
	}
	var ended []string
	err := p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		ended = nil
		for some := range slices.Chunk(missing, chunk) {
			var rows []sessionRow
			if err := tx.Select("id", "reason").Where("id IN ? AND closed_at IS NOT NULL", some).Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				if Polite(r.Reason) {
					ended = append(ended, r.ID)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions that are missing: %w", err)
	}
	if len(ended) == 0 {
		return ops, nil
	}
	p.meters.healed.WithLabelValues("ended").Add(float64(len(ended)))
	p.forget(ended...)
	if p.cfg.Ended != nil {
		p.cfg.Net.Call("end sockets", func() { p.cfg.Ended(ended) })
	}
	return slices.DeleteFunc(ops, func(o *op) bool { return o.kind == reopen && slices.Contains(ended, o.row.ID) }), nil
}

// differences returns what is to be done about rows, which were read before the sessions held are looked at
// here: what was opened since is too young to be missed, what was closed since is closed already.
func (p *Presence) differences(rows []ownRow, epoch int64, now time.Time) []*op {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != epoch {
		return nil
	}
	var ops []*op
	found := make(map[string]bool, len(rows))
	for _, r := range rows {
		s := r.Session
		found[s.ID] = true
		switch h := p.held[s.ID]; {
		case h == nil:
			ops = append(ops, closeRow(s, Lost, now.UnixMilli()))
		case s.ConferenceID != "" && r.State != Online && !h.closing:
			ops = append(ops, &op{kind: look, row: sessionRow{ConferenceID: s.ConferenceID, UserID: s.UserID}})
		}
	}
	for id, h := range p.held {
		if !found[id] && !h.closing && !h.committed.IsZero() && now.Sub(h.committed) > p.settledAfter {
			ops = append(ops, &op{kind: reopen, row: h.row, held: h})
		}
	}
	return ops
}

// closeRow asks for the end of a session by its row, whoever holds it.
func closeRow(row sessionRow, why Reason, at int64) *op {
	row.close(at, why)
	return &op{kind: closing, row: row, why: why}
}

// orphan is an open session whose node and epoch are not alive, and when that node was last heard of (0: never).
type orphan struct {
	Session sessionRow `gorm:"embedded"`
	HeardAt int64
}

// closeOrphans closes the sessions of nodes and epochs that are no more. Their users get their grace. A session
// ends when its node was last heard of, not when that was noticed. Of an epoch that another one has replaced before
// its sessions were closed, which takes two crashes, only that beginning is known.
func (p *Presence) closeOrphans(ctx context.Context) error {
	for {
		var rows []orphan
		err := p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
			return tx.Raw(`SELECT s.*, CASE WHEN n.id IS NULL THEN 0 WHEN n.epoch = s.epoch THEN n.heartbeat_at ELSE n.started_at END AS heard_at
				FROM presence_sessions s LEFT JOIN nodes n ON n.id = s.node_id
				WHERE s.closed_at IS NULL AND (n.id IS NULL OR n.epoch <> s.epoch OR n.state <> 'up') LIMIT ?`, chunk).Scan(&rows).Error
		})
		if err != nil {
			return fmt.Errorf("find sessions of dead nodes: %w", err)
		}
		now := time.Now().UnixMilli()
		ops := make([]*op, len(rows))
		for i, r := range rows {
			at := now
			if r.HeardAt != 0 {
				at = r.HeardAt
			}
			ops[i] = closeRow(r.Session, NodeLost, at)
		}
		if err := p.submit(ctx, ops); err != nil {
			return fmt.Errorf("close sessions of dead nodes: %w", err)
		}
		if len(rows) < chunk {
			return nil
		}
	}
}

// wakeGhosts finds people who are called online and have no session.
func (p *Presence) wakeGhosts(ctx context.Context) error {
	var rows []presenceRow
	err := p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw(`SELECT p.conference_id, p.user_id FROM presence p
			WHERE p.state = 'online' AND p.since < `+clock(tx)+` - ? AND NOT EXISTS (
				SELECT 1 FROM presence_sessions s
				WHERE s.conference_id = p.conference_id AND s.user_id = p.user_id AND s.closed_at IS NULL)
			LIMIT ?`, p.settledAfter.Milliseconds(), chunk).Scan(&rows).Error
	})
	if err != nil {
		return fmt.Errorf("find users without sessions: %w", err)
	}
	p.meters.healed.WithLabelValues("no_session").Add(float64(len(rows)))
	return p.submit(ctx, looks(rows))
}
