package presence

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/store"
)

// Purge calls a node dead that has not been heard of for the node timeout, and returns how many of its sessions were
// open. They are closed once that is committed, with the node's last heartbeat as their end; should that fail it is
// made up for within seconds. A node that lives is a fault Conflict "node_alive", an unknown one NotFound. It joins the
// transaction of ctx.
func (p *Presence) Purge(ctx context.Context, nodeID string) (closed int, err error) {
	err = p.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		n, now, err := lockNode(tx, nodeID)
		if err != nil {
			return err
		}
		if n.State == nodeUp {
			if now-n.HeartbeatAt < p.cfg.NodeTimeout.Milliseconds() {
				return fault.New(fault.Conflict, "node_alive", "the node is alive: its last heartbeat is younger than presence.node_timeout")
			}
			if err := tx.Model(&nodeRow{}).Where("id = ?", nodeID).Update("state", nodeDead).Error; err != nil {
				return fmt.Errorf("call node dead: %w", err)
			}
		}
		var open int64
		if err := tx.Model(&sessionRow{}).Where("node_id = ? AND closed_at IS NULL", nodeID).Count(&open).Error; err != nil {
			return fmt.Errorf("count open sessions of node: %w", err)
		}
		closed = int(open)
		store.AfterCommit(ctx, func() { p.purged(store.Outside(ctx), n, closed) })
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("purge node: %w", err)
	}
	return closed, nil
}

// lockNode reads the row of a node, which stays as it is until tx ends, and the clock.
func lockNode(tx *gorm.DB, nodeID string) (n nodeRow, now int64, err error) {
	q := tx
	if tx.Name() == store.MySQL {
		q = tx.Clauses(clause.Locking{Strength: "UPDATE"})
	}
	found := q.Where("id = ?", nodeID).Limit(1).Find(&n)
	if found.Error != nil {
		return n, 0, fmt.Errorf("read node: %w", found.Error)
	}
	if found.RowsAffected == 0 {
		return n, 0, fault.New(fault.NotFound, "not_found", "there is no such node")
	}
	if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
		return n, 0, fmt.Errorf("read the clock: %w", err)
	}
	return n, now, nil
}

// purged closes what a purge left behind.
func (p *Presence) purged(ctx context.Context, n nodeRow, open int) {
	if n.State == nodeUp {
		p.meters.claimed.Inc()
	}
	p.cfg.Log.Warn("a node was purged, its sessions are closed", "node", n.ID, "epoch", n.Epoch, "heartbeat_at", n.HeartbeatAt, "sessions", open)
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := p.closeOrphans(ctx); err != nil {
		p.trouble.note("close sessions of a purged node", err)
		nudge(p.orphaned)
	}
}
