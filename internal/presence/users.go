package presence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/store"
)

// User is a name in the users table. The name has at most 255 characters.
type User struct{ ID, Name string }

// PutUsers adds users or changes their names, also where they are shown at this moment unless a token named
// them. It joins the transaction of ctx. A name that is too long is a fault Invalid, and nothing is changed.
func (p *Presence) PutUsers(ctx context.Context, users []User) error {
	to := make(map[string]naming, len(users))
	rows := make([]userRow, 0, len(users))
	for _, u := range users {
		if err := checkName(u.Name); err != nil {
			return err
		}
		to[u.ID] = naming{u.Name, fromUsers}
	}
	for id, n := range to { // of a user given twice the last name counts
		rows = append(rows, userRow{ID: id, Name: n.text})
	}
	slices.SortFunc(rows, func(a, b userRow) int { return strings.Compare(a.ID, b.ID) })
	return p.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		var now int64
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		for i := range rows {
			rows[i].UpdatedAt = now
		}
		replace := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"name", "updated_at"})}
		for some := range slices.Chunk(rows, chunk) {
			if err := tx.Clauses(replace).Create(&some).Error; err != nil {
				return fmt.Errorf("write users: %w", err)
			}
		}
		return p.rename(ctx, tx, "", to)
	})
}

// User returns a registered user, or a fault NotFound. It joins the transaction of ctx.
func (p *Presence) User(ctx context.Context, id string) (User, error) {
	var row userRow
	err := p.cfg.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Where("id = ?", id).Take(&row).Error
	})
	if store.NotFound(err) {
		return User{}, fault.New(fault.NotFound, "not_found", "there is no such user")
	}
	if err != nil {
		return User{}, fmt.Errorf("read user: %w", err)
	}
	return User{ID: row.ID, Name: row.Name}, nil
}

// DeleteUser forgets a user's name, and erases his names, addresses and devices wherever presence keeps them. His
// open sessions stay open, and members lists keep his id. An unknown user is no error. It joins the transaction
// of ctx.
func (p *Presence) DeleteUser(ctx context.Context, id string) error {
	return p.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		var confs, member []string
		if err := tx.Model(&presenceRow{}).Where("user_id = ?", id).Pluck("conference_id", &confs).Error; err != nil {
			return fmt.Errorf("find conferences of user: %w", err)
		}
		if err := tx.Model(&memberRow{}).Where("user_id = ?", id).Pluck("conference_id", &member).Error; err != nil {
			return fmt.Errorf("find memberships of user: %w", err)
		}
		confs = append(confs, member...)
		if _, err := Lock(ctx, tx, confs); err != nil {
			return err
		}
		return p.erase(ctx, tx, id, confs)
	})
}

func (p *Presence) erase(ctx context.Context, tx *gorm.DB, id string, confs []string) error {
	for _, statement := range []string{
		"DELETE FROM users WHERE id = ?",
		"UPDATE conference_members SET name = '' WHERE user_id = ?",
		"UPDATE presence SET user_name = '', name_rank = 0 WHERE user_id = ?",
		"UPDATE presence_sessions SET user_name = '', ip = '', device_id = '' WHERE user_id = ?",
	} {
		if err := tx.Exec(statement, id).Error; err != nil {
			return fmt.Errorf("erase user: %w", err)
		}
	}
	if err := Raise(tx, confs, Raised{Roster: true}); err != nil {
		return err
	}
	var rows []presenceRow
	if err := tx.Where("user_id = ? AND state IN ?", id, present).Find(&rows).Error; err != nil {
		return fmt.Errorf("read presence of user: %w", err)
	}
	changes := make([]Change, len(rows))
	for i, r := range rows {
		changes[i] = r.same()
	}
	if err := fillIn(tx, changes); err != nil {
		return err
	}
	store.AfterCommit(ctx, func() {
		p.anonymise(id)
		p.tell(changes)
	})
	return nil
}

// anonymise keeps a row that is put back later from bringing back what was erased.
func (p *Presence) anonymise(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.held {
		if h.row.UserID == user {
			h.row.UserName, h.row.IP, h.row.DeviceID = "", "", ""
		}
	}
}

// same is the change that says: look again, he is where he was.
func (r presenceRow) same() Change {
	return Change{ConferenceID: r.ConferenceID, UserID: r.UserID, UserName: r.UserName, From: r.State, To: r.State, Reason: r.Reason.ifAny()}
}

func checkName(name string) error {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > nameMax {
		return fault.Invalidf("a name must be valid UTF-8 of at most %d characters", nameMax)
	}
	return nil
}
