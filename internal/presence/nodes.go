package presence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
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

// register takes the row of this node with a new epoch, higher than any before. While the database is away it keeps
// trying.
func (p *Presence) register(ctx context.Context) error {
	var rival twin
	poll := time.NewTicker(min(p.watchEvery(), 100*time.Millisecond))
	defer poll.Stop()
	for {
		var taken bool
		err := p.cfg.Net.Try("register node", func() (err error) {
			taken, err = p.takePlace(ctx, &rival)
			return err
		})
		switch {
		case taken:
			return nil
		case err == nil, errors.Is(err, errTaken), errors.Is(err, rescue.ErrPanic), fault.Is(err, fault.Unavailable):
		default:
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

// twin is a process with the id of this node, as first seen. Zero until one is.
type twin struct {
	row  nodeRow
	seen time.Time
}

// takePlace takes the row of this node if it may. When a process with the same id seems to live, it is watched for the
// whole node timeout, and gives way only if it is still.
func (p *Presence) takePlace(ctx context.Context, rival *twin) (taken bool, err error) {
	old, now, err := p.self(ctx)
	alive := err == nil && old.State == nodeUp && p.cfg.DB.Dialect() == store.MySQL // an SQLite file has one owner
	known := !rival.seen.IsZero()
	switch {
	case err != nil:
		return false, err
	case alive && !known && now-old.HeartbeatAt < p.cfg.NodeTimeout.Milliseconds():
		*rival = twin{old, time.Now()}
		p.cfg.Log.Info("waiting to see whether another process has this node id", "node", p.cfg.Node, "for", p.cfg.NodeTimeout)
		return false, nil
	case alive && known && (old.Epoch != rival.row.Epoch || old.HeartbeatAt != rival.row.HeartbeatAt):
		return false, ErrTwin
	case alive && known && time.Since(rival.seen) < p.cfg.NodeTimeout:
		return false, nil
	}
	row, err := p.succeed(ctx, old)
	if err == nil {
		err = p.makeKnown(ctx, row)
	}
	return err == nil, err
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
func (p *Presence) enroll(ctx context.Context, old nodeRow) (row nodeRow, err error) {
	err = p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
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
	return row, err
}

// makeKnown begins the life of this node in an epoch. If others serve, it waits until each of them has seen its row, or knows
// that it has not looked for too long: see Alone. Each writes its row first and looks for others after, so of two that
// begin at the same moment at least one sees the other, and the other will be seen before it says that it is alone.
func (p *Presence) makeKnown(ctx context.Context, row nodeRow) error {
	others, err := p.others(ctx)
	if err != nil || len(others) > 0 { // who cannot look takes it that there are some
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(p.aloneFor() + p.watchEvery()):
		}
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
	_ = p.round(ctx, "sign the node off", func(ctx context.Context) error {
		return p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			return tx.Model(&nodeRow{}).Where("id = ? AND epoch = ? AND state = ?", p.cfg.Node, p.currentEpoch(), nodeUp).
				Updates(map[string]any{"state": nodeStopped, "sockets": 0}).Error
		})
	})
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
	p.aloneUntil = time.Time{}
	p.mu.Unlock()
	p.meters.expelled.Inc()
	p.cfg.Log.Warn("this node was called dead by another one and starts over", "node", p.cfg.Node, "epoch", epoch, "sessions", lost)
	if p.cfg.Expelled != nil {
		p.cfg.Net.Call("expel", p.cfg.Expelled)
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
