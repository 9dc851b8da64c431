package presence

import (
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/store"
)

// read fetches all that the ops of the batch depend on. The conferences are locked, so it stays true.
func (b *batch) read(tx *gorm.DB) error {
	var rows []sessionRow
	ids := make([]string, 0, len(b.ops))
	for _, o := range b.ops {
		ids = append(ids, o.row.ID)
	}
	if ids = distinct(ids); len(ids) > 0 {
		if err := tx.Select("id", "closed_at").Where("id IN ?", ids).Find(&rows).Error; err != nil {
			return fmt.Errorf("read sessions: %w", err)
		}
	}
	b.known = make(map[string]sessionRow, len(rows))
	for _, r := range rows {
		b.known[r.ID] = r
	}
	if err := b.readPairs(tx); err != nil {
		return err
	}
	var err error
	b.names, err = readNames(tx, b.ops)
	return err
}

func (b *batch) readPairs(tx *gorm.DB) error {
	b.open, b.was = map[pair][]string{}, map[pair]presenceRow{}
	pairs := b.pairs()
	if len(pairs) == 0 {
		return nil
	}
	var open []sessionRow
	err := tx.Select("id", "conference_id", "user_id").Where(store.Pairs(tx, "conference_id", "user_id", pairs, "closed_at IS NULL")).Order("id").Find(&open).Error
	if err != nil {
		return fmt.Errorf("read open sessions: %w", err)
	}
	for _, r := range open {
		b.open[r.pair()] = append(b.open[r.pair()], r.ID)
	}
	var was []presenceRow
	if err := tx.Where(store.Pairs(tx, "conference_id", "user_id", pairs)).Find(&was).Error; err != nil {
		return fmt.Errorf("read presence: %w", err)
	}
	for _, r := range was {
		b.was[pair{r.ConferenceID, r.UserID}] = r
	}
	return nil
}

// store writes what was found out, and raises the versions of the conferences that changed.
func (b *batch) store(tx *gorm.DB) error {
	if err := storeSessions(tx, b.rows, closeOnce(tx)); err != nil {
		return err
	}
	if err := storeSessions(tx, b.reopened, openAgain); err != nil {
		return err
	}
	if len(b.is) > 0 {
		replace := clause.OnConflict{
			Columns:   []clause.Column{{Name: "conference_id"}, {Name: "user_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"user_name", "name_rank", "token_role", "state", "since", "arrived_at", "offline_due_at", "reason"}),
		}
		if err := tx.Clauses(replace).Create(&b.is).Error; err != nil {
			return fmt.Errorf("write presence: %w", err)
		}
	}
	return b.raise(tx)
}

// closeOnce is what an upsert does with a row that exists: it may be closed, once, and nothing else.
func closeOnce(tx *gorm.DB) clause.Set {
	return clause.Set{ // in this order: MySQL sees the columns that it has set already
		{Column: clause.Column{Name: "reason"}, Value: gorm.Expr("CASE WHEN closed_at IS NULL THEN " + incoming(tx, "reason") + " ELSE reason END")},
		{Column: clause.Column{Name: "closed_at"}, Value: gorm.Expr("COALESCE(closed_at, " + incoming(tx, "closed_at") + ")")},
	}
}

// openAgain puts back a session whose row somebody closed while its socket is open.
var openAgain = clause.AssignmentColumns([]string{"node_id", "epoch", "closed_at", "reason"})

// storeSessions writes whole rows, so that repeating it after a commit whose answer was lost is harmless.
func storeSessions(tx *gorm.DB, rows map[string]sessionRow, update clause.Set) error {
	if len(rows) == 0 {
		return nil
	}
	sorted := make([]sessionRow, 0, len(rows))
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		sorted = append(sorted, rows[id])
	}
	upsert := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: update}
	if err := tx.Clauses(upsert).Create(&sorted).Error; err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}

// raise counts who is there and raises the versions: the tree's only where the number changed.
func (b *batch) raise(tx *gorm.DB) error {
	if len(b.changes) == 0 {
		return nil
	}
	var all, moved, still []string
	for conf, by := range b.moved {
		all = append(all, conf)
		if by != 0 {
			moved = append(moved, conf)
		} else {
			still = append(still, conf)
		}
	}
	online, err := countOnline(tx, all)
	if err != nil {
		return err
	}
	b.count(online)
	if err := Raise(tx, moved, Raised{Tree: true, Roster: true}); err != nil {
		return err
	}
	if err := Raise(tx, still, Raised{Roster: true}); err != nil {
		return err
	}
	for i, o := range b.ops {
		conf := o.row.ConferenceID
		if _, raised := b.moved[conf]; raised {
			b.outcomes[i].arrival.RosterVersion = b.versions[conf].Roster + 1
		}
	}
	return nil
}

// countOnline returns the number of people online or reconnecting, by conference.
func countOnline(tx *gorm.DB, confs []string) (map[string]int, error) {
	out := make(map[string]int, len(confs))
	for ids := range slices.Chunk(distinct(confs), chunk) {
		var rows []struct {
			ConferenceID string
			N            int
		}
		err := tx.Model(&presenceRow{}).Select("conference_id, COUNT(*) AS n").
			Where("conference_id IN ? AND state IN ?", ids, present).Group("conference_id").Find(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("count people online: %w", err)
		}
		for _, r := range rows {
			out[r.ConferenceID] = r.N
		}
	}
	return out, nil
}

// present are the states that count for the online number.
var present = []State{Online, Reconnecting}
