package conference

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// The rules, one by one, as the contract has them.
func TestVerdict(t *testing.T) {
	know := map[string]bool{"42": true, "over": true, "empty": true}
	f := facts{
		bars:  presence.Bars{{"42", "bob"}: true, {"", "eve"}: true},
		known: know, ended: map[string]bool{"over": true},
		members: map[[2]string]bool{{"42", "anna"}: true, {"42", "bob"}: true, {"over", "anna"}: true, {"new", "anna"}: true},
		listed:  map[string]bool{"42": true, "over": true, "new": true},
	}
	for _, c := range []struct {
		q             question
		create, open_ bool
		want          error
	}{
		{q: question{"carl", "42", Free, true}},
		{q: question{"anna", "42", Listed, true}},
		{q: question{"carl", "42", Listed, true}, open_: true, want: errStranger},
		{q: question{"carl", "42", Listed, false}, want: errStranger},
		{q: question{"bob", "42", Listed, true}, want: errBarred},
		{q: question{"bob", "42", Free, false}, want: errBarred},
		{q: question{"bob", "", Free, true}},
		{q: question{"eve", "", Free, true}, want: errBarred},
		{q: question{"eve", "over", Free, true}, want: errBarred},
		{q: question{"carl", "over", Free, true}, want: ErrOver},
		{q: question{"anna", "over", Listed, true}, want: ErrOver},
		{q: question{"anna", "over", Listed, false}}, // he is there already, and stays
		{q: question{"carl", "empty", Listed, true}, want: errStranger},
		{q: question{"carl", "empty", Listed, true}, open_: true},
		{q: question{"carl", "none", Free, true}, want: ErrUnknown},
		{q: question{"carl", "none", Free, true}, create: true},
		{q: question{"carl", "none", Free, false}},
		{q: question{"carl", "none", Listed, true}, create: true, want: errStranger},
		{q: question{"carl", "none", Listed, false}, create: true, want: errStranger},
		{q: question{"carl", "none", Listed, true}, create: true, open_: true},
		{q: question{"carl", "none", Listed, true}, open_: true, want: ErrUnknown},
		{q: question{"anna", "new", Listed, true}, create: true},
		{q: question{"anna", "new", Listed, true}, want: ErrUnknown},
		{q: question{"", "42", Listed, false}, want: errStranger}, // a system client
	} {
		h := &House{Config: Config{AutoCreate: c.create, OpenConferences: c.open_}}
		if got := h.verdict(c.q, f); got != c.want {
			t.Errorf("%+v, create %v, open %v: %v, want %v", c.q, c.create, c.open_, got, c.want)
		}
	}
}

// aspirant is somebody at the gate, and what the database holds about him and his conference.
type aspirant struct {
	question
	barred, state, members string
}

func (a aspirant) refused(create, open bool) error {
	switch {
	case a.barred == "here", a.barred == "everywhere":
		return errBarred
	case a.arrives && a.state == "ended":
		return ErrOver
	case a.arrives && a.state == "unknown" && !create:
		return ErrUnknown
	case a.by == Listed && a.members == "others", a.by == Listed && a.members == "none" && !open:
		return errStranger
	}
	return nil
}

// crowd puts every combination of what can be known of somebody into the database, each with a conference of its own.
func (b *built) crowd(t *testing.T, name string) (all []aspirant) {
	t.Helper()
	err := b.DB.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) (err error) {
		until := now() + 60_000
		for i := range 3 * 3 * 3 * 2 * 2 {
			a := aspirant{
				question: question{fmt.Sprint(name, "u", i), fmt.Sprint(name, "c", i), []Pass{Free, Listed}[i%2], i/2%2 == 0},
				barred:   []string{"", "here", "everywhere"}[i/4%3], state: []string{"unknown", "open", "ended"}[i/12%3], members: []string{"none", "others", "him"}[i/36],
			}
			all = append(all, a)
			bar := map[string]string{"": "elsewhere", "here": a.conferenceID, "everywhere": ""}
			err = errors.Join(err, b.presence.Bar(ctx, a.userID, bar[a.barred], until))
			if ended := a.state == "ended"; a.state != "unknown" {
				_, failed := b.Register(ctx, a.conferenceID, Registration{Ended: &ended})
				err = errors.Join(err, failed)
			}
			if a.members != "none" {
				err = errors.Join(err, b.presence.AddMembers(ctx, a.conferenceID, []presence.Member{{UserID: map[string]string{"others": "other", "him": a.userID}[a.members]}}))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every combination of what the database can hold, asked all at once: each has the answer of his own facts, whoever else is
// in the same look, a refusal leaves nothing behind, and only an arrival makes a conference.
func TestEveryAspirant(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, alone)
		for i := range 4 {
			create, open := i%2 == 0, i/2 == 0
			b.AutoCreate, b.OpenConferences = create, open
			all := b.crowd(t, fmt.Sprint(i))
			b.atOnce(t, len(all), func(i int) {
				a, err := all[i], error(nil)
				if a.arrives {
					_, err = b.Arrive(t.Context(), newSession(a.userID, a.conferenceID), a.by)
				} else {
					err = b.MayWatch(t.Context(), a.userID, a.conferenceID, a.by)
				}
				if want := a.refused(create, open); err != want {
					t.Errorf("%+v, create %v, open %v: %v, want %v", a, create, open, err, want)
				}
			})
			rows := b.census(t)
			for _, a := range all {
				in := a.arrives && a.refused(create, open) == nil
				if (rows.open[a.conferenceID] == 1) != in || rows.known[a.conferenceID] != (in || a.state != "unknown") {
					t.Errorf("%+v, create %v, open %v: %d sessions, the conference is there: %v", a, create, open, rows.open[a.conferenceID], rows.known[a.conferenceID])
				}
			}
		}
	})
}

// atOnce calls f for 0 to n-1 at once, in one look.
func (b *built) atOnce(t *testing.T, n int, f func(i int)) {
	t.Helper()
	b.gate.mu.Lock()
	b.gate.looking = true // as far as they know
	b.gate.mu.Unlock()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	storetest.Eventually(t, func() bool {
		b.gate.mu.Lock()
		defer b.gate.mu.Unlock()
		return len(b.gate.waiting) == 1 && len(b.gate.waiting[0].questions) == n
	}, "not all wait for the same look")
	b.gate.work()
	all.Wait()
}

// census is what the rows say of everybody.
type census struct {
	open   map[string]int     // sessions, by conference
	online map[[2]string]bool // pairs of conference and user
	known  map[string]bool    // conferences that are registered
}

func (b *built) census(t *testing.T) census {
	t.Helper()
	c := census{map[string]int{}, map[[2]string]bool{}, map[string]bool{}}
	err := b.DB.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		var open, known []string
		var online []struct{ ConferenceID, UserID string }
		err := errors.Join(tx.Table("presence_sessions").Where("closed_at IS NULL").Pluck("conference_id", &open).Error, tx.Table("conferences").Pluck("id", &known).Error,
			tx.Table("presence").Where("state <> 'offline'").Find(&online).Error)
		for _, id := range open {
			c.open[id]++
		}
		for _, id := range known {
			c.known[id] = true
		}
		for _, r := range online {
			c.online[[2]string{r.ConferenceID, r.UserID}] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// alone has a house do nothing that a test of who may come in does not need.
func alone(c *Config) { c.Webhooks, c.PollInterval, c.LogTree = nil, time.Hour, "off" }

// A storm of joins is a handful of statements at the gate, also when somebody is barred and the members list decides: it
// used to be one query for each of them.
func TestStormAtTheGate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		many := storetest.Size(5000, 200)
		statements := count(t, db, "`presence_bars`", "`ended_at` FROM `conferences`", "SELECT `conference_id`,`user_id` FROM `conference_members`", "SELECT asked.id", "INTO `conferences`")
		b := build(t, db, alone)
		list := make([]presence.Member, many)
		for i := range list {
			list[i] = presence.Member{UserID: fmt.Sprint("u", i)}
		}
		for i := 0; i < many; i += 1000 {
			if err := b.presence.AddMembers(t.Context(), "42", list[i:min(i+1000, many)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.presence.Bar(t.Context(), "u7", "", now()+60_000); err != nil {
			t.Fatal(err)
		}
		before, asked := db.Transactions(), statements.Load()
		var all sync.WaitGroup
		var refused atomic.Int64
		for i := range many + 100 { // a hundred are on no list
			all.Go(func() {
				_, err := b.Arrive(t.Context(), newSession(fmt.Sprint("u", i), "42"), Listed)
				if want := map[bool]error{i == 7: errBarred, i >= many: errStranger}[true]; err != want {
					t.Errorf("u%d: %v, want %v", i, err, want)
				}
				if err != nil {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		took, wrote := statements.Load()-asked, db.Transactions()-before
		if took > int64(30+many/10) || refused.Load() != 101 {
			t.Errorf("%d arrivals took %d statements at the gate, %d were refused", many+100, took, refused.Load())
		}
		storetest.Show(t, "%d joined at once, 101 more were refused: %d statements at the gate for both looks at each, %d transactions", many-1, took, wrote)
	})
}

// count counts the statements that hold one of some texts.
func count(t *testing.T, db *store.DB, texts ...string) *atomic.Int64 {
	t.Helper()
	n := &atomic.Int64{}
	after(t, db, func(statement string) {
		for _, text := range texts {
			if strings.Contains(statement, text) {
				n.Add(1)
			}
		}
	})
	return n
}

// after calls f after every statement of gorm with its text. It is for a database that nobody uses yet.
func after(t *testing.T, db *store.DB, f func(statement string)) {
	t.Helper()
	hook := func(_ context.Context, tx *gorm.DB) error {
		see := func(tx *gorm.DB) { f(tx.Statement.SQL.String()) }
		c := tx.Callback()
		return errors.Join(c.Query().After("gorm:query").Register(t.Name(), see), c.Create().After("gorm:create").Register(t.Name(), see),
			c.Row().Before("gorm:row").Register(t.Name(), see))
	}
	if err := errors.Join(db.Read(t.Context(), hook), db.Write(t.Context(), hook)); err != nil {
		t.Fatal(err)
	}
}

// What is looked up is found by an index, however long the lists are.
func TestGateUsesIndexes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		for i := range 5 {
			list := make([]presence.Member, 400)
			for j := range list {
				list[j] = presence.Member{UserID: fmt.Sprint("u", j), Sort: int64(-j)}
			}
			if err := b.presence.AddMembers(t.Context(), fmt.Sprint("c", i), list); err != nil {
				t.Fatal(err)
			}
		}
		for name, c := range map[string]struct {
			index string
			query func(tx *gorm.DB) *gorm.DB
		}{
			"members": {"conference_id=? AND user_id=?|rows:3 ", func(tx *gorm.DB) *gorm.DB {
				return membersAmong(tx, [][2]string{{"c1", "u1"}, {"c2", "u2"}, {"c3", "u3"}}).Find(&[]struct{ ConferenceID, UserID string }{})
			}},
			"listed": {"EXISTS USING COVERING INDEX|FirstMatch", func(tx *gorm.DB) *gorm.DB { return listedAmong(tx, []string{"c1", "c2", "none"}) }},
		} {
			onSQLite, onMariaDB, _ := strings.Cut(c.index, "|")
			if plan := explain(t, db, c.query); !strings.Contains(plan, map[string]string{store.SQLite: onSQLite, store.MySQL: onMariaDB}[db.Dialect()]) {
				t.Errorf("%s: %s", name, plan)
			}
		}
	})
}

// explain returns the plan of a query, in the words of the database.
func explain(t *testing.T, db *store.DB, query func(tx *gorm.DB) *gorm.DB) (plan string) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error {
		s := query(tx.Session(&gorm.Session{DryRun: true})).Statement
		word := "EXPLAIN "
		if tx.Name() == store.SQLite {
			word = "EXPLAIN QUERY PLAN "
		}
		var lines []map[string]any
		if err := tx.Raw(word+s.SQL.String(), s.Vars...).Scan(&lines).Error; err != nil {
			return err
		}
		for _, line := range lines {
			delete(line, "possible_keys")
			for k, v := range line {
				if text, ok := v.([]byte); ok {
					line[k] = string(text)
				}
			}
			plan += fmt.Sprint(line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
