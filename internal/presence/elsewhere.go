package presence

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/store"
)

// elsewhereMost is how many sockets of other nodes are listed.
const elsewhereMost = 50_000

// Elsewhere returns which sockets on other nodes have a session and belong to an audience, at most 50,000, as the database
// knows it. Those of a node that has just died are among them until two of its heartbeats are missing; those that only watch, or are
// nobody's, have no session. It joins the snapshot or transaction of ctx.
func (p *Presence) Elsewhere(ctx context.Context, to hall.Audience) (list []hall.Socket, err error) {
	if p.Alone() || !to.All && !to.Lobby && len(to.Users)+len(to.Sessions)+len(to.Aliases) == 0 {
		return nil, nil
	}
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		list = nil
		each := func(q *gorm.DB) error {
			var rows []sessionRow
			if err := p.elsewhere(q, to).Limit(elsewhereMost - len(list)).Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				list = append(list, r.socket())
			}
			return nil
		}
		switch {
		case to.All && to.ConferenceID != "": // by who is there: no index leads to the open sessions among all that there ever were
			return each(tx.Where("user_id IN (SELECT user_id FROM presence WHERE conference_id = ? AND state = ?)", to.ConferenceID, Online))
		case to.All || to.Lobby:
			return each(tx)
		}
		for some := range slices.Chunk(distinct(to.Users), chunk) {
			if err := each(tx.Where("user_id IN ?", some)); err != nil {
				return err
			}
		}
		for some := range slices.Chunk(distinct(to.Sessions), chunk) {
			if err := each(tx.Where("id IN ?", some)); err != nil {
				return err
			}
		}
		for some := range slices.Chunk(distinct(to.Aliases), chunk) {
			if err := each(tx.Where("id IN (SELECT session_id FROM session_aliases WHERE alias IN ?)", some)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for sockets on other nodes: %w", err)
	}
	return list, nil
}

// UsersThere returns how many users have a session in a conference, or in none when that is "", on whatever node. It joins the
// snapshot or transaction of ctx.
func (p *Presence) UsersThere(ctx context.Context, conferenceID string) (n int, err error) {
	err = p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		if conferenceID == "" {
			return tx.Raw("SELECT COUNT(DISTINCT user_id) FROM presence_sessions WHERE closed_at IS NULL AND conference_id = ''").Scan(&n).Error
		}
		return tx.Raw("SELECT COUNT(*) FROM presence WHERE conference_id = ? AND state = ?", conferenceID, Online).Scan(&n).Error
	})
	if err != nil {
		return 0, fmt.Errorf("count users who are there: %w", err)
	}
	return n, nil
}

// countElsewhere returns how many sessions those who arrive have on other nodes.
func (p *Presence) countElsewhere(tx *gorm.DB, ops []*op) (map[string]int, error) {
	n := map[string]int{}
	if p.Alone() || p.cfg.DB.Dialect() == store.SQLite {
		return n, nil
	}
	var users []string
	for _, o := range ops {
		if o.kind == opening {
			users = append(users, o.row.UserID)
		}
	}
	for some := range slices.Chunk(distinct(users), chunk) {
		var rows []struct {
			UserID string
			N      int
		}
		err := p.elsewhere(tx.Model(&sessionRow{}), hall.Audience{}).Where("user_id IN ?", some).Select("user_id, COUNT(*) AS n").Group("user_id").Scan(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("count sessions on other nodes: %w", err)
		}
		for _, r := range rows {
			n[r.UserID] = r.N
		}
	}
	return n, nil
}

// elsewhere narrows a query to open sessions of other nodes that are left over by an audience's conditions.
func (p *Presence) elsewhere(q *gorm.DB, to hall.Audience) *gorm.DB {
	q = q.Where("closed_at IS NULL AND node_id <> ?", p.cfg.Node).
		Where("node_id IN (SELECT id FROM nodes WHERE state = ? AND heartbeat_at > "+clock(q)+" - ?)", nodeUp, max(2*p.cfg.Heartbeat, p.cfg.NodeTimeout/2).Milliseconds())
	if to.ConferenceID != "" || to.Lobby {
		q = q.Where("conference_id = ?", to.ConferenceID)
	}
	if len(to.ClientTypes) > 0 {
		q = q.Where("client_type IN ?", to.ClientTypes)
	}
	if len(to.Except) > 0 {
		q = q.Where("user_id NOT IN ?", to.Except)
	}
	if to.ExceptOf != "" {
		q = q.Where("id <> ?", to.ExceptOf)
	}
	return q
}

func (r *sessionRow) socket() hall.Socket {
	return hall.Socket{SessionID: r.ID, UserID: r.UserID, UserName: r.UserName, ConferenceID: r.ConferenceID, ClientType: r.ClientType, DeviceID: r.DeviceID, IP: r.IP, Node: r.NodeID}
}
