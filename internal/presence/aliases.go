package presence

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/store"
)

type aliasRow struct {
	SessionID string `gorm:"primaryKey"`
	Alias     string
}

// TableName is for gorm.
func (aliasRow) TableName() string { return "session_aliases" }

// SetAlias has other nodes find a session under an alias, instead of the one that it had. It joins the transaction of ctx.
func (p *Presence) SetAlias(ctx context.Context, sessionID, alias string) error {
	if p.cfg.DB.Dialect() == store.SQLite { // one node finds its own in memory
		return nil
	}
	replace := clause.OnConflict{Columns: []clause.Column{{Name: "session_id"}}, DoUpdates: clause.AssignmentColumns([]string{"alias"})}
	err := p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Clauses(replace).Create(&aliasRow{sessionID, alias}).Error
	})
	if err != nil {
		return fmt.Errorf("set alias of session: %w", err)
	}
	return nil
}

// AliasesElsewhere returns which users have open sessions on other nodes under each of these aliases. It joins the snapshot or
// transaction of ctx.
func (p *Presence) AliasesElsewhere(ctx context.Context, aliases []string) (users map[string][]string, err error) {
	if p.Alone() || len(aliases) == 0 {
		return nil, nil //nolint:nilnil // nobody
	}
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		users = map[string][]string{}
		for some := range slices.Chunk(distinct(aliases), chunk) {
			var rows []struct{ Alias, UserID string }
			err := tx.Raw(`SELECT a.alias, s.user_id FROM session_aliases a JOIN presence_sessions s ON s.id = a.session_id
				WHERE a.alias IN ? AND s.closed_at IS NULL AND s.node_id <> ?`, some, p.cfg.Node).Scan(&rows).Error
			if err != nil {
				return err
			}
			for _, r := range rows {
				users[r.Alias] = append(users[r.Alias], r.UserID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for aliases on other nodes: %w", err)
	}
	return users, nil
}

// trimAliases deletes those of sessions that are closed.
func (p *Presence) trimAliases(ctx context.Context) (more bool, err error) {
	err = p.cfg.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		var ids []string
		err := tx.Raw(`SELECT session_id FROM session_aliases a
			WHERE NOT EXISTS (SELECT 1 FROM presence_sessions s WHERE s.id = a.session_id AND s.closed_at IS NULL) ORDER BY session_id LIMIT ?`, chunk).Scan(&ids).Error
		if more = len(ids) == chunk; err != nil || len(ids) == 0 {
			return err
		}
		return tx.Where("session_id IN ?", ids).Delete(&aliasRow{}).Error
	})
	if err != nil {
		return false, fmt.Errorf("delete aliases of closed sessions: %w", err)
	}
	return more, nil
}
