package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
)

// gate knows who may come in. All who ask while one look at the database is under way share the next one: nobody is let
// in by an answer older than his question, and a storm of joins is a handful of statements, whoever is in it.
type gate struct {
	house  *House
	looked time.Time // when the last look was over; belongs to the work

	mu      sync.Mutex // guards the rest
	looking bool
	waiting []*inspection // in order; only the last may have room
}

// inspection is one look at the database. done is closed when the rest is known.
type inspection struct {
	questions []question
	done      chan struct{}
	facts     facts
	err       error
	unmade    error // why conferences that were to come to be did not
}

// ask reports why somebody may not come in, or nil. If he arrives at a conference that nobody registered, and may, it
// comes to be.
func (g *gate) ask(ctx context.Context, q question) error {
	i := g.join(q)
	if i == nil {
		return fault.Away(errors.New("the house is closed"))
	}
	select {
	case <-i.done:
	case <-ctx.Done():
		return fault.Away(context.Cause(ctx))
	}
	if i.err != nil {
		return i.err
	}
	if err := g.house.verdict(q, i.facts); err != nil {
		return err
	}
	if q.arrives && q.conferenceID != "" && !i.facts.known[q.conferenceID] {
		return i.unmade
	}
	return nil
}

// join puts a question to the next look, nil if there is to be none.
func (g *gate) join(q question) *inspection {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.looking {
		if g.looking = g.house.working.Go(func() { g.house.Net.Call("look who may come in", g.work) }); !g.looking {
			return nil
		}
	}
	if n := len(g.waiting); n == 0 || len(g.waiting[n-1].questions) == lookMax {
		g.waiting = append(g.waiting, &inspection{done: make(chan struct{})})
	}
	i := g.waiting[len(g.waiting)-1]
	i.questions = append(i.questions, q)
	return i
}

// work looks until nobody waits.
func (g *gate) work() {
	for g.wanted() {
		g.rest()
		i := g.take()
		i.err = g.house.Net.Try("look who may come in", func() error { return g.house.inspect(g.house.ctx, i) })
		g.looked = time.Now()
		close(i.done)
	}
}

// wanted reports whether somebody waits for a look. If not, the work ends.
func (g *gate) wanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looking = len(g.waiting) > 0
	return g.looking
}

// rest lets those who come in a storm gather, however quick the database is. Who comes alone need not wait.
func (g *gate) rest() {
	t := time.NewTimer(gatherFor - time.Since(g.looked))
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.house.ctx.Done():
	}
}

func (g *gate) take() *inspection {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	return i
}

// inspect finds out what the questions of an inspection are about, and registers the conferences that come to be.
func (h *House) inspect(ctx context.Context, i *inspection) error {
	var err error
	if i.facts, err = h.factsOf(ctx, i.questions); err != nil {
		return err
	}
	var fresh []string
	for _, q := range i.questions {
		if q.arrives && q.conferenceID != "" && !i.facts.known[q.conferenceID] && h.verdict(q, i.facts) == nil {
			fresh = append(fresh, q.conferenceID)
		}
	}
	if fresh = distinct(fresh); len(fresh) == 0 {
		return nil
	}
	if i.unmade = h.registerAll(ctx, fresh); i.unmade == nil {
		for _, id := range fresh {
			i.facts.known[id] = true
		}
	}
	return nil
}

const (
	// lookMax is how many questions share a look, so that a storm does not make one that takes longer than it may.
	lookMax = 1000
	// gatherFor is the least pause between two looks.
	gatherFor = 10 * time.Millisecond
	// idsAtOnce and pairsAtOnce are how many ids, and pairs of them, one statement holds: SQLite bounds the number of
	// selects in a union, and the depth of an expression.
	idsAtOnce   = 500
	pairsAtOnce = 200
)

// factsOf reads what is to be known for questions.
func (h *House) factsOf(ctx context.Context, questions []question) (f facts, err error) {
	var users, ids []string
	var pairs [][2]string
	for _, q := range questions {
		users, ids = append(users, q.userID), append(ids, q.conferenceID)
		if q.by == Listed && q.conferenceID != "" {
			pairs = append(pairs, q.pair())
		}
	}
	err = h.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error {
		f = facts{known: map[string]bool{}, ended: map[string]bool{}, members: map[[2]string]bool{}, listed: map[string]bool{}}
		if f.bars, err = h.Presence.Bars(ctx, users); err != nil {
			return err
		}
		if err := f.readConferences(tx, distinct(ids)); err != nil {
			return err
		}
		return f.readMembers(tx, pairs)
	})
	if err != nil {
		return facts{}, fmt.Errorf("look who may come in: %w", err)
	}
	return f, nil
}

func (f *facts) readConferences(tx *gorm.DB, ids []string) error {
	for some := range slices.Chunk(ids, idsAtOnce) {
		var rows []conferenceRow
		if err := tx.Select("id", "ended_at").Where("id IN ?", some).Find(&rows).Error; err != nil {
			return fmt.Errorf("read conferences: %w", err)
		}
		for _, r := range rows {
			f.known[r.ID], f.ended[r.ID] = true, r.EndedAt != nil
		}
	}
	return nil
}

// readMembers finds out which pairs are members, and where somebody is not, whether anybody is.
func (f *facts) readMembers(tx *gorm.DB, pairs [][2]string) error {
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for some := range slices.Chunk(pairs, pairsAtOnce) {
		var rows []struct{ ConferenceID, UserID string }
		if err := membersAmong(tx, some).Find(&rows).Error; err != nil {
			return fmt.Errorf("read members: %w", err)
		}
		for _, r := range rows {
			f.members[[2]string{r.ConferenceID, r.UserID}], f.listed[r.ConferenceID] = true, true
		}
	}
	var open []string
	for _, who := range pairs {
		if !f.listed[who[0]] {
			open = append(open, who[0])
		}
	}
	for some := range slices.Chunk(distinct(open), idsAtOnce) {
		var listed []string
		if err := listedAmong(tx, some).Scan(&listed).Error; err != nil {
			return fmt.Errorf("read which conferences have members: %w", err)
		}
		for _, id := range listed {
			f.listed[id] = true
		}
	}
	return nil
}

// membersAmong finds members among sorted pairs. Those of one conference stand in a list, which MariaDB plans ten times as
// quickly as the chain of ORs of store.Pairs: people come to the same conference at the same time.
func membersAmong(tx *gorm.DB, pairs [][2]string) *gorm.DB {
	either := tx.Session(&gorm.Session{NewDB: true})
	for len(pairs) > 0 {
		id, users := pairs[0][0], []string{}
		for len(pairs) > 0 && pairs[0][0] == id {
			users, pairs = append(users, pairs[0][1]), pairs[1:]
		}
		either = either.Or("conference_id = ? AND user_id IN ?", id, users)
	}
	return tx.Table("conference_members").Select("conference_id", "user_id").Where(either)
}

// listedAmong finds which conferences have any member. It asks for each of them, so that a long list is not walked through.
func listedAmong(tx *gorm.DB, ids []string) *gorm.DB {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	asked := "SELECT ? AS id" + strings.Repeat(" UNION ALL SELECT ?", len(ids)-1)
	return tx.Raw("SELECT asked.id FROM ("+asked+") AS asked WHERE EXISTS (SELECT 1 FROM conference_members m WHERE m.conference_id = asked.id)", args...)
}

// registerAll registers conferences of which nobody has said anything. One that somebody else has registered by now is
// left as it is.
func (h *House) registerAll(ctx context.Context, ids []string) error {
	return h.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		for some := range slices.Chunk(ids, idsAtOnce) {
			rows := make([]conferenceRow, len(some))
			for i, id := range some {
				rows[i] = conferenceRow{ID: id, CreatedAt: now(), UpdatedAt: now()}
			}
			if err := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&rows).Error; err != nil {
				return fmt.Errorf("register conferences: %w", err)
			}
		}
		return nil
	})
}

// distinct returns ids sorted, each once, without "".
func distinct(ids []string) []string {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	slices.Sort(ids)
	return slices.Compact(ids)
}
