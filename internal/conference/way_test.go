package conference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// seats is a hall that seats those who come in, as the door of the sockets does.
type seats struct {
	fakeHall
	house *House

	lock   sync.Mutex       // guards taken
	taken  map[string]*seat // by session, from before it is opened
	kicked map[string]string
}

type seat struct {
	who question
	in  bool
}

// arrive lets somebody in, and to his seat if nobody has sent him away meanwhile.
func (h *seats) arrive(ctx context.Context, q question) error {
	s, at := newSession(q.userID, q.conferenceID), &seat{who: q}
	h.hold(func() { h.taken[s.ID] = at })
	_, err := h.house.Arrive(ctx, s, q.by)
	h.hold(func() {
		if at.in = true; err != nil {
			delete(h.taken, s.ID)
		}
	})
	return err
}

func (h *seats) hold(f func()) { h.lock.Lock(); defer h.lock.Unlock(); f() }

// Occupancy implements Hall: nothing is pushed.
func (h *seats) Occupancy(string) int { return 0 }

// End implements Hall: it finds those who are in their seats.
func (h *seats) End(to hall.Audience, reason string) int {
	var ids []string
	users := map[string]bool{}
	for _, user := range to.Users {
		users[user] = true
	}
	h.hold(func() {
		for id, s := range h.taken {
			if s.in && s.who.conferenceID == to.ConferenceID && (to.All || users[s.who.userID]) {
				ids = append(ids, id)
			}
		}
	})
	for _, id := range ids {
		h.EndSession(id, reason)
	}
	return len(ids)
}

// EndSession implements Hall.
func (h *seats) EndSession(id, reason string) {
	h.hold(func() {
		if s := h.taken[id]; s != nil {
			h.kicked[s.who.userID] = reason
		}
		delete(h.taken, id)
	})
	h.house.Leave(id, presence.Kicked)
}

// in returns how many sit in a conference.
func (h *seats) in(conferenceID string) (n int) {
	h.hold(func() {
		for _, s := range h.taken {
			if s.who.conferenceID == conferenceID {
				n++
			}
		}
	})
	return n
}

// seated is a house whose hall has seats.
func seated(t *testing.T, db *store.DB) (*built, *seats) {
	t.Helper()
	h := &seats{taken: map[string]*seat{}, kicked: map[string]string{}}
	b := build(t, db, func(c *Config) {
		alone(c)
		c.Hall, c.Auth = h, true
	})
	h.house = b.House
	return b, h
}

// cause is why somebody may not be in a conference any more, from its commit on.
type cause struct {
	name   string
	by     Pass
	create bool // config: AutoCreate
	open   bool // config: OpenConferences
	do     func(ctx context.Context, b *built, q question) error
	want   error // for who is on the way; nil: he may come in

	deletes, stays bool // the conference goes; who came before may stay
}

func causes() []cause {
	remove := func(ctx context.Context, b *built, q question) error { return b.Remove(ctx, q.conferenceID) }
	dismiss := func(ctx context.Context, b *built, q question) error {
		defer b.Dismiss(ctx, q.conferenceID, []string{q.userID})
		return b.presence.RemoveMember(ctx, q.conferenceID, q.userID)
	}
	return []cause{
		{"barred", Free, true, false, func(ctx context.Context, b *built, q question) error {
			defer b.Kick(ctx, q.userID, q.conferenceID, "barred")
			return b.presence.Bar(ctx, q.userID, q.conferenceID, now()+60_000)
		}, errBarred, false, false},
		{"ended", Free, true, false, func(ctx context.Context, b *built, q question) error {
			yes := true
			_, err := b.Register(ctx, q.conferenceID, Registration{Ended: &yes})
			return err
		}, ErrOver, false, true},
		{"removed", Listed, true, true, dismiss, errStranger, false, false},
		{"removed, his token names it", Free, true, true, dismiss, nil, false, true},
		{"deleted", Free, false, false, remove, ErrUnknown, true, false},
		{"deleted and made again", Free, true, false, remove, nil, true, true},
		{"deleted with its list", Listed, true, false, remove, errStranger, true, false},
		{"deleted with its list, open", Listed, true, true, remove, nil, true, true},
	}
}

// stage registers conferences with a list on which somebody and ben are.
func (b *built) stage(t *testing.T, c cause, all ...question) {
	t.Helper()
	b.AutoCreate, b.OpenConferences = c.create, c.open
	err := b.DB.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) (err error) {
		for _, q := range all {
			_, failed := b.Register(ctx, q.conferenceID, Registration{})
			err = errors.Join(err, failed, b.presence.AddMembers(ctx, q.conferenceID, []presence.Member{{UserID: q.userID}, {UserID: "ben"}}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Something happens to somebody while he is on his way in: he was looked at before, and whoever sends people out looked
// for his session before it was there. He used to stay in.
func TestOnTheWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, func(c *Config) { c.Auth = true })
		for i, c := range causes() {
			s, arrived := newSession("anna", fmt.Sprint("c", i)), make(chan error, 1)
			q := question{s.UserID, s.ConferenceID, c.by, true}
			b.stage(t, c, q)
			b.arrive(t, "ben", s.ConferenceID)
			err := db.Write(t.Context(), func(ctx context.Context, tx *gorm.DB) error {
				if _, err := presence.Lock(ctx, tx, []string{s.ConferenceID}); err != nil { // his session cannot be committed meanwhile
					return err
				}
				go func() { _, err := b.Arrive(t.Context(), s, c.by); arrived <- err }()
				storetest.Eventually(t, func() bool { return b.Holds(s.ID) }, "he is not on his way")
				return c.do(ctx, b, q)
			})
			if err != nil {
				t.Fatal(c.name, err)
			}
			if err := <-arrived; !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s on the way in: %v, want %v", c.name, err, c.want)
			}
			if c.want != nil {
				storetest.Eventually(t, func() bool { return b.stateIn(t, s.ConferenceID, "anna") == presence.Offline && !b.Holds(s.ID) }, c.name+": she is still in")
			}
			if _, err := b.Get(t.Context(), s.ConferenceID); (err == nil) != (c.want == nil || !c.deletes) {
				t.Errorf("%s: %v", c.name, err)
			}
			if got := b.stateIn(t, s.ConferenceID, "ben"); (got == presence.Online) == c.deletes {
				t.Errorf("%s: ben is %s", c.name, got)
			}
		}
	})
}

// Arrivals run beside what must keep them out, in parallel and in any order. Afterwards nobody is inside who must not be:
// not in the rows, and not in the hall.
func TestArrivalsAgainstCauses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b, h := seated(t, db)
		many := storetest.Size(200, 8)
		for i, c := range causes() {
			qs := make([]question, many)
			for j := range qs {
				qs[j] = question{fmt.Sprint("u", j), fmt.Sprint("c", i, "-", j), c.by, true}
			}
			b.stage(t, c, qs...)
			errs := h.race(t, c, qs)
			refused, inside, wrong := 0, 0, 0
			var rows census
			storetest.Eventually(t, func() bool {
				rows = b.census(t)
				return !slices.ContainsFunc(qs, func(q question) bool {
					return rows.open[q.conferenceID] != h.in(q.conferenceID) || rows.online[q.pair()] != (h.in(q.conferenceID) == 1)
				})
			}, c.name+": rows and seats differ")
			for j, q := range qs {
				sits := h.in(q.conferenceID)
				switch {
				case errs[j] != nil && !errors.Is(errs[j], c.want) && !fault.Is(errs[j], fault.Unavailable):
					t.Errorf("%s: %v", c.name, errs[j])
				case errs[j] != nil:
					refused++
				case sits == 1:
					inside++
				}
				if sits == 1 && (errs[j] != nil || !c.stays || !rows.known[q.conferenceID]) {
					wrong++
				}
			}
			if wrong > 0 {
				t.Errorf("%s: %d are inside who must not be", c.name, wrong)
			}
			storetest.Show(t, "%s beside %d arrivals: %d refused, %d let in and sent out again, %d inside who may be, %d who may not", c.name, many, refused, many-refused-inside, inside, wrong)
		}
	})
}

// race lets each of qs arrive, and its cause happen: for half of them at the same time, for the others when one of the
// arrivals is over. It returns what became of the arrivals.
func (h *seats) race(t *testing.T, c cause, qs []question) []error {
	var all sync.WaitGroup
	errs, over := make([]error, len(qs)), make(chan bool, len(qs))
	b := &built{House: h.house, presence: h.house.Presence}
	for j, q := range qs {
		all.Go(func() { errs[j] = h.arrive(t.Context(), q); over <- true })
		all.Go(func() {
			if j%2 == 1 {
				<-over
			}
			for err := error(fault.Away(nil)); fault.Is(err, fault.Unavailable); { // as a backend does it
				if err = h.house.DB.Write(t.Context(), func(ctx context.Context, _ *gorm.DB) error { return c.do(ctx, b, q) }); err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		})
	}
	all.Wait()
	return errs
}
