package presence

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/fault"
)

// succeed closes the sessions of old, the row of this node before this run, and takes its place. In this order:
// with the row goes the only word of when the node was last heard of, which is when those sessions ended.
func (p *Presence) succeed(ctx context.Context, old nodeRow) (nodeRow, error) {
	if old.ID != "" {
		if err := p.bury(ctx, &old); fault.Is(err, fault.Unavailable) {
			return nodeRow{}, err
		} else if err != nil { // whatever it is, it must not keep the node from serving: others find these sessions
			p.trouble.note("close the sessions of the run before", unlessTaken(err))
		}
	}
	return p.enroll(ctx, old)
}

// bury calls old dead and closes its sessions. The grace of their users begins now.
func (p *Presence) bury(ctx context.Context, old *nodeRow) error {
	if old.State == nodeUp {
		dead := *old
		dead.State = nodeDead
		err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error { return replaceNode(tx, *old, dead) })
		if err != nil {
			return fmt.Errorf("call the run before dead: %w", err)
		}
		old.State = nodeDead
	}
	for {
		var rows []sessionRow
		err := p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
			rows = nil
			return tx.Where("node_id = ? AND epoch = ? AND closed_at IS NULL", old.ID, old.Epoch).Order("id").Limit(batchMax).Find(&rows).Error
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		ops := make([]*op, len(rows))
		for i, r := range rows {
			ops[i] = closeRow(r, NodeLost, old.HeartbeatAt)
			ops[i].epoch = old.Epoch
		}
		if err := p.carryOut(ctx, ops, p.graveside); err != nil {
			return fmt.Errorf("close sessions of the run before: %w", err)
		}
	}
}

// graveside is the fence of bury: this node must not live in epoch, nor in another by now.
func (p *Presence) graveside(tx *gorm.DB, epoch int64) (now int64, err error) {
	return p.selfIn(tx, epoch, "state <> ?", errTaken)
}
