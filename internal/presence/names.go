package presence

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// rank tells where a shown name came from; a name may be replaced by one of the same rank or a higher one.
type rank int

const (
	fromHandshake rank = iota
	fromMembers
	fromUsers
	fromToken
)

// naming is a name and where it came from.
type naming struct {
	text string
	rank rank
}

// names are those that the database knows for the users of a batch.
type names struct {
	users   map[string]string
	members map[pair]string
}

// of picks the name to show: the token's, the users table's, the members list's, the handshake's.
func (n names) of(who pair, given string, trusted bool) naming {
	switch {
	case trusted && given != "":
		return naming{given, fromToken}
	case n.users[who[1]] != "":
		return naming{clip(n.users[who[1]]), fromUsers}
	case n.members[who] != "":
		return naming{clip(n.members[who]), fromMembers}
	}
	return naming{given, fromHandshake}
}

// readNames fetches the names of those who arrive.
func readNames(tx *gorm.DB, ops []*op) (names, error) {
	n := names{users: map[string]string{}, members: map[pair]string{}}
	var ids []string
	var pairs []pair
	for _, o := range ops {
		if o.kind != opening {
			continue
		}
		ids = append(ids, o.row.UserID)
		if o.row.ConferenceID != "" {
			pairs = append(pairs, o.row.pair())
		}
	}
	if len(ids) == 0 {
		return n, nil
	}
	var users []userRow
	if err := tx.Select("id", "name").Where("id IN ?", distinct(ids)).Find(&users).Error; err != nil {
		return n, fmt.Errorf("read names of users: %w", err)
	}
	for _, u := range users {
		n.users[u.ID] = u.Name
	}
	if len(pairs) == 0 {
		return n, nil
	}
	var members []memberRow
	err := tx.Select("conference_id", "user_id", "name").Where(store.Pairs(tx, "conference_id", "user_id", pairs)).Find(&members).Error
	if err != nil {
		return n, fmt.Errorf("read names of members: %w", err)
	}
	for _, m := range members {
		n.members[pair{m.ConferenceID, m.UserID}] = m.Name
	}
	return n, nil
}

// rename shows new names, by user, of those who are there, where no better name is shown. conf "" is everywhere.
// It locks the conferences concerned and tells them after the commit.
func (p *Presence) rename(ctx context.Context, tx *gorm.DB, conf string, to map[string]naming) error {
	stale, err := staleNames(tx, conf, to)
	if err != nil || len(stale) == 0 {
		return err
	}
	var confs []string
	for _, r := range stale {
		confs = append(confs, r.ConferenceID)
	}
	if _, err := Lock(ctx, tx, confs); err != nil {
		return err
	}
	if stale, err = staleNames(tx, conf, to); err != nil { // somebody may have come or gone meanwhile
		return err
	}
	var changes []Change
	for _, r := range stale {
		n := to[r.UserID]
		err := tx.Model(&presenceRow{}).Where("conference_id = ? AND user_id = ?", r.ConferenceID, r.UserID).
			Updates(map[string]any{"user_name": n.text, "name_rank": n.rank}).Error
		if err != nil {
			return fmt.Errorf("rename user: %w", err)
		}
		r.UserName = n.text
		changes = append(changes, r.same())
	}
	if err := Raise(tx, confs, Raised{Roster: true}); err != nil {
		return err
	}
	if err := fillIn(tx, changes); err != nil {
		return err
	}
	store.AfterCommit(ctx, func() { p.tell(changes) })
	return nil
}

// staleNames returns the rows of people who are there under a name that is not the one given.
func staleNames(tx *gorm.DB, conf string, to map[string]naming) ([]presenceRow, error) {
	ids := make([]string, 0, len(to))
	for user, n := range to {
		if n.text != "" {
			ids = append(ids, user)
		}
	}
	var out []presenceRow
	for some := range slices.Chunk(distinct(ids), chunk) {
		q := tx.Where("user_id IN ? AND state IN ?", some, present)
		if conf != "" {
			q = q.Where("conference_id = ?", conf)
		}
		var rows []presenceRow
		if err := q.Order("conference_id, user_id").Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read shown names: %w", err)
		}
		for _, r := range rows {
			if n := to[r.UserID]; r.NameRank <= n.rank && r.UserName != n.text {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// fillIn sets time and online numbers of changes that move nobody.
func fillIn(tx *gorm.DB, changes []Change) error {
	var confs []string
	for _, c := range changes {
		confs = append(confs, c.ConferenceID)
	}
	online, err := countOnline(tx, confs)
	if err != nil {
		return err
	}
	var now int64
	if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	for i := range changes {
		changes[i].At, changes[i].Online = now, online[changes[i].ConferenceID]
	}
	return nil
}
