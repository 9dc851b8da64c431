package presence

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// watchEvery is how often other nodes are looked at: often enough that a death is noticed soon after its timeout.
func (p *Presence) watchEvery() time.Duration {
	return max(min(p.cfg.Heartbeat, p.cfg.NodeTimeout/20), 10*time.Millisecond)
}

// heartbeat says that this node lives, and watches the others, until ctx is done. It returns an error when
// another process has taken this node's id.
func (p *Presence) heartbeat(ctx context.Context) error {
	tick := time.NewTicker(p.watchEvery())
	defer tick.Stop()
	others := watch{patience: p.cfg.NodeTimeout}
	var beaten time.Time
	for {
		if p.currentEpoch() == 0 {
			if err := p.register(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("register node %s again: %w", p.cfg.Node, err)
			}
		}
		if now := time.Now(); now.Sub(beaten) >= p.cfg.Heartbeat {
			beaten = now
			if p.round(ctx, "send heartbeat", p.beat) != nil {
				others.blink() // while it cannot write, others cannot either, and their silence says nothing
			}
		}
		_ = p.round(ctx, "watch other nodes", func(ctx context.Context) error { return p.watch(ctx, &others) })
		select {
		case <-ctx.Done():
			return nil
		case <-p.expelled:
		case <-tick.C:
		}
	}
}

// beat renews the lease of this node. A lease that is gone expels it; one that cannot be renewed for now is
// nobody's death.
func (p *Presence) beat(ctx context.Context) error {
	epoch, sockets := p.currentEpoch(), p.Held()
	var kept bool
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		done := tx.Exec("UPDATE nodes SET heartbeat_at = "+clock(tx)+", sockets = ? WHERE id = ? AND epoch = ? AND state = ?",
			sockets, p.cfg.Node, epoch, nodeUp)
		kept = done.RowsAffected > 0
		return done.Error
	})
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	if !kept {
		p.expel(epoch)
	}
	return nil
}

// watch looks at the other nodes once, and claims those that have been still for long enough.
func (p *Presence) watch(ctx context.Context, w *watch) error {
	began := time.Now()
	rows, err := p.others(ctx)
	if err != nil {
		w.blink()
		return err
	}
	if len(rows) == 0 {
		p.alone(began)
	}
	for _, n := range w.look(rows, time.Now()) {
		if err := p.claim(ctx, n); err != nil {
			w.blink()
			return err
		}
	}
	return nil
}

// others reads the rows of the other nodes that serve.
func (p *Presence) others(ctx context.Context) (rows []nodeRow, err error) {
	err = p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Where("state = ? AND id <> ?", nodeUp, p.cfg.Node).Find(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	return rows, nil
}

// aloneFor is how long a node that saw no other one may rely on that: until it has looked again. A new one waits a little
// longer before it lets anybody in.
func (p *Presence) aloneFor() time.Duration { return 2 * p.watchEvery() }

// alone notes that at a moment no other node served.
func (p *Presence) alone(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.epoch != 0 { // an expelled node is one that others know nothing of
		p.aloneUntil = at.Add(p.aloneFor())
	}
}

// Alone reports whether surely no other node has sockets, nor will have any that was let in before now: none served a moment ago,
// and one that has begun since is still waiting. It does not ask the database.
func (p *Presence) Alone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.aloneUntil)
}

// claim calls a node dead, unless it has moved or somebody else was first.
func (p *Presence) claim(ctx context.Context, n nodeRow) error {
	var won bool
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		done := tx.Model(&nodeRow{}).Where("id = ? AND epoch = ? AND heartbeat_at = ? AND state = ?", n.ID, n.Epoch, n.HeartbeatAt, nodeUp).
			Update("state", nodeDead)
		won = done.RowsAffected > 0
		return done.Error
	})
	if err != nil {
		return fmt.Errorf("claim node %s: %w", n.ID, err)
	}
	if won {
		p.meters.claimed.Inc()
		p.cfg.Log.Warn("a node is dead, its sessions are closed", "node", n.ID, "epoch", n.Epoch, "heartbeat_at", n.HeartbeatAt)
		nudge(p.orphaned)
	}
	return nil
}

// watch remembers how long the heartbeats of others have stood still before one's own eyes. A node may be called
// dead only by one that read the same old heartbeat for the whole timeout, without a gap in which it could not look.
type watch struct {
	patience time.Duration
	looked   time.Time // zero after a blink
	seen     map[string]sighting
}

// sighting is a heartbeat and when it was first seen.
type sighting struct {
	epoch, heartbeat int64
	since            time.Time
}

// blink forgets everything: for a while nothing could be seen.
func (w *watch) blink() { w.looked, w.seen = time.Time{}, nil }

// look takes what was read at now and returns the nodes that have been still for the whole timeout.
func (w *watch) look(rows []nodeRow, now time.Time) (still []nodeRow) {
	if now.Sub(w.looked) > w.patience/2 { // this process itself was stopped, or starved
		w.blink()
	}
	seen := make(map[string]sighting, len(rows))
	for _, r := range rows {
		s, ok := w.seen[r.ID]
		if !ok || s.epoch != r.Epoch || s.heartbeat != r.HeartbeatAt {
			s = sighting{r.Epoch, r.HeartbeatAt, now}
		}
		seen[r.ID] = s
		if now.Sub(s.since) >= w.patience {
			still = append(still, r)
		}
	}
	w.seen, w.looked = seen, now
	return still
}
