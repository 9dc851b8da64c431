package conference

import (
	"cmp"
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// nameOf returns the name of a user as rosters show it: that under which he is there, else the users table's, the
// members list's, and that under which he was last there.
func (h *House) nameOf(ctx context.Context, tx *gorm.DB, conferenceID, userID string) (string, error) {
	who := [2]string{conferenceID, userID}
	states, err := h.Presence.StateOf(ctx, [][2]string{who})
	if err != nil {
		return "", err
	}
	shown := states[who]
	if shown.State != presence.Offline {
		return shown.UserName, nil
	}
	user, err := h.Presence.User(ctx, userID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	var member struct{ Name string }
	err = tx.Table("conference_members").Select("name").Where("conference_id = ? AND user_id = ?", conferenceID, userID).Take(&member).Error
	if err != nil && !store.NotFound(err) {
		return "", fmt.Errorf("read name of member: %w", err)
	}
	return cmp.Or(user.Name, member.Name, shown.UserName), nil
}

// registered returns the members of a conference in the order of their list, at most limit.
func registered(tx *gorm.DB, conferenceID string, limit int) (users []string, err error) {
	err = tx.Table("conference_members").Where("conference_id = ?", conferenceID).Order("sort, user_id").Limit(limit).Pluck("user_id", &users).Error
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return users, nil
}

// maxMembers is the most users that Members returns.
const maxMembers = 10_000

// errManyMembers is better than to leave somebody out of what is said to all members, and not to say so.
var errManyMembers = fault.Invalidf("the conference has more than %d members, too many to be addressed at once", maxMembers)

// Members returns who belongs to a conference: its registered members, else the first 10,000 whom the backend names when
// it is asked for the sake of askedBy ("" is nobody), else who is online or reconnecting in it. More than 10,000 of ours are
// an Invalid fault. Asking takes up to 2 s; it is better not done in a transaction.
func (h *House) Members(ctx context.Context, conferenceID, askedBy string) ([]string, error) {
	var users []string
	err := h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		users, err = registered(tx, conferenceID, maxMembers+1)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(users) > maxMembers:
		return nil, errManyMembers
	case len(users) > 0:
		return users, nil
	}
	if h.MembersURL != "" {
		if users, err := h.asked.members(ctx, conferenceID, askedBy); err == nil {
			return users, nil
		}
	}
	err = h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Table("presence").Where("conference_id = ? AND state IN ?", conferenceID, []presence.State{presence.Online, presence.Reconnecting}).
			Order("user_id").Limit(maxMembers+1).Pluck("user_id", &users).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read who is in the conference: %w", err)
	}
	if len(users) > maxMembers {
		return nil, errManyMembers
	}
	return users, nil
}
