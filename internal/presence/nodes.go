package presence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/store"
)

// What the column state of a node's row says.
const (
	nodeUp      = "up"
	nodeDead    = "dead"
	nodeStopped = "stopped"
)

// ErrTwin means that another living process has this node's id.
var ErrTwin = errors.New("another running node has the same id: give each its own node.id, or leave it out to get a random one")

// errTaken means that the node's row changed while it was being taken.
var errTaken = errors.New("the row of the node changed meanwhile")

// register takes the row of this node with a new epoch, higher than any before. When a process with the same id
// seems to live, it watches that one for the whole node timeout, and takes its place only if it is still. While
// the database is away it keeps trying.
func (p *Presence) register(ctx context.Context) error {
	var twin nodeRow // as first seen
	var seen time.Time
	poll := time.NewTicker(min(p.watchEvery(), 100*time.Millisecond))
	defer poll.Stop()
	for {
		old, now, err := p.self(ctx)
		alive := err == nil && old.State == nodeUp && p.cfg.DB.Dialect() == store.MySQL // an SQLite file has one owner
		switch {
		case err != nil:
		case alive && seen.IsZero() && now-old.HeartbeatAt < p.cfg.NodeTimeout.Milliseconds():
			twin, seen = old, time.Now()
			p.cfg.Log.Info("waiting to see whether another process has this node id", "node", p.cfg.Node, "for", p.cfg.NodeTimeout)
		case alive && !seen.IsZero() && (old.Epoch != twin.Epoch || old.HeartbeatAt != twin.HeartbeatAt):
			return ErrTwin
		case alive && !seen.IsZero() && time.Since(seen) < p.cfg.NodeTimeout:
		default:
			if err = p.succeed(ctx, old); err == nil {
				return nil
			}
		}
		if err != nil && !errors.Is(err, errTaken) && !fault.Is(err, fault.Unavailable) {
			return err
		}
		p.trouble.note("register node", unlessTaken(err))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

func unlessTaken(err error) error {
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// self reads the row of this node, blank when there is none, and the clock.
func (p *Presence) self(ctx context.Context) (row nodeRow, now int64, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return err
		}
		return tx.Where("id = ?", p.cfg.Node).Limit(1).Find(&row).Error
	})
	if err != nil {
		err = fmt.Errorf("read node: %w", err)
	}
	return row, now, err
}

// enroll replaces old, which must not have changed since it was read, by a row of a new epoch.
func (p *Presence) enroll(ctx context.Context, old nodeRow) error {
	var row nodeRow
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		var now int64
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		row = nodeRow{ID: p.cfg.Node, Epoch: max(now, old.Epoch+1), State: nodeUp, HeartbeatAt: now, StartedAt: now}
		if err := replaceNode(tx, old, row); err != nil {
			return err
		}
		if p.cfg.DB.Dialect() == store.SQLite { // whoever else wrote to this file is gone
			return tx.Model(&nodeRow{}).Where("id <> ? AND state = ?", p.cfg.Node, nodeUp).Update("state", nodeDead).Error
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.epoch = row.Epoch
	p.mu.Unlock()
	p.cfg.Log.Info("node registered", "node", p.cfg.Node, "epoch", row.Epoch)
	return nil
}

// replaceNode writes row if the node's row is still old.
func replaceNode(tx *gorm.DB, old, row nodeRow) error {
	if old.ID == "" {
		err := tx.Create(&row).Error
		if store.Duplicate(err) {
			return errTaken
		}
		if err != nil {
			return fmt.Errorf("write node: %w", err)
		}
		return nil
	}
	done := tx.Model(&nodeRow{}).Where("id = ? AND epoch = ? AND heartbeat_at = ?", old.ID, old.Epoch, old.HeartbeatAt).
		Updates(map[string]any{"epoch": row.Epoch, "state": row.State, "heartbeat_at": row.HeartbeatAt, "started_at": row.StartedAt, "sockets": 0})
	if done.Error != nil {
		return fmt.Errorf("write node: %w", done.Error)
	}
	if done.RowsAffected == 0 {
		return errTaken
	}
	return nil
}

// unregister says that this node stopped as planned. The rest of its sessions, if any, are then orphans.
func (p *Presence) unregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Model(&nodeRow{}).Where("id = ? AND epoch = ? AND state = ?", p.cfg.Node, p.currentEpoch(), nodeUp).
			Updates(map[string]any{"state": nodeStopped, "sockets": 0}).Error
	})
	p.trouble.note("sign the node off", err)
}

// fence returns the clock of the database if this node still lives in epoch, and keeps others from calling it
// dead until tx ends: a node that was stopped and wakes up writes nothing old.
func (p *Presence) fence(tx *gorm.DB, epoch int64) (now int64, err error) {
	return p.selfIn(tx, epoch, "state = ?", errExpelled)
}

// selfIn returns the clock if the row of this node is of an epoch and in a state, which it stays until tx ends, and
// otherwise an error.
func (p *Presence) selfIn(tx *gorm.DB, epoch int64, state string, otherwise error) (now int64, err error) {
	q := "SELECT " + clock(tx) + " FROM nodes WHERE id = ? AND epoch = ? AND " + state
	if tx.Name() != store.SQLite {
		q += " LOCK IN SHARE MODE"
	}
	done := tx.Raw(q, p.cfg.Node, epoch, nodeUp).Scan(&now)
	if done.Error != nil {
		return 0, fmt.Errorf("read own node: %w", done.Error)
	}
	if done.RowsAffected == 0 {
		return 0, otherwise
	}
	return now, nil
}

// expel forgets everything held in epoch: whoever called this node dead has closed it.
func (p *Presence) expel(epoch int64) {
	p.mu.Lock()
	if p.epoch != epoch || epoch == 0 {
		p.mu.Unlock()
		return
	}
	p.epoch = 0
	lost := len(p.held)
	clear(p.held)
	p.mu.Unlock()
	p.meters.expelled.Inc()
	p.cfg.Log.Warn("this node was called dead by another one and starts over", "node", p.cfg.Node, "epoch", epoch, "sessions", lost)
	if p.cfg.Expelled != nil {
		p.cfg.Expelled()
	}
	nudge(p.expelled)
}

// nudge leaves one message in a channel that has room for one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
