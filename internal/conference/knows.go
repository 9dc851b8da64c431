package conference

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// Alias has a session found under an alias on all nodes.
func (h *House) Alias(ctx context.Context, sessionID, alias string) error {
	return h.Presence.SetAlias(ctx, sessionID, alias)
}

// TakenElsewhere reports whether a session of another user has an alias on another node.
func (h *House) TakenElsewhere(ctx context.Context, alias, userID string) (bool, error) {
	users, err := h.Presence.AliasesElsewhere(ctx, []string{alias})
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(users[alias], func(u string) bool { return u != userID }), nil
}

// Knows reports whether somebody is known by an id: he has a name, is on a members list, or was connected.
func (h *House) Knows(ctx context.Context, userID string) (bool, error) {
	var known int
	err := h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw(`SELECT EXISTS (SELECT 1 FROM users WHERE id = ?)
			OR EXISTS (SELECT 1 FROM conference_members WHERE user_id = ?)
			OR EXISTS (SELECT 1 FROM presence_sessions WHERE user_id = ?)`, userID, userID, userID).Scan(&known).Error
	})
	if err != nil {
		return false, fmt.Errorf("look whether a user is known: %w", err)
	}
	return known != 0, nil
}
