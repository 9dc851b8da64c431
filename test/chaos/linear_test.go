package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rollcall/internal/clienttest"
	"rollcall/internal/storetest"
)

// promptly is how long after the fact the database may say something else: 1 s by contract; in the short form tests that run at
// the same time take the machine.
var promptly = time.Duration(storetest.Size(1, 3)) * time.Second

// stint is one socket of an actor, with what a history needs.
type stint struct {
	session      int
	node         *node
	called, come time.Time // come is zero when nobody answered
	ended        time.Time // zero while it is open
	polite       bool
	link         *clienttest.Wire
	gone         chan struct{} // closed when its reader heard the end
	lost         time.Time     // when that was, and why; valid when gone is closed
	why          error
}

// actor is one user who does something at random. It belongs to one goroutine until that has ended.
type actor struct {
	user   string
	stints []*stint
	odd    []error // handshakes that failed for no reason
}

// death is a kill of a node.
type death struct{ called, done time.Time }

// readings are reads of everybody: by name of a user what was said, in the time between.
type reading struct {
	from, to time.Time
	states   map[string]string
}

// stage is where actors act.
type stage struct {
	*town
	actors []*actor

	mu       sync.Mutex // guards the rest
	deaths   map[*node][]death
	readings []reading
}

// Users come and go at random over three nodes, which are killed now and then, while others read who is there: in the database
// and by REST of any node. Every read must fit in one order of all that happened.
func TestLinearizable(t *testing.T) {
	idles(t)
	c := begin(t, presenceSection, "reads of presence fit in one order of connects, closes and deaths of nodes")
	s := &stage{town: found(c, 3, func(p *paces) settings {
		if !storetest.Proving() {
			p.grace = 1500 * time.Millisecond
		}
		return nil
	}), deaths: map[*node][]death{}}
	last := time.Duration(storetest.Size(90, 14)) * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), last)
	defer cancel()
	var everybody sync.WaitGroup
	for i := range storetest.Size(24, 8) {
		a := &actor{user: fmt.Sprintf("actor-%d", i)}
		s.actors = append(s.actors, a)
		everybody.Go(func() { s.acts(ctx, a) })
	}
	for range 2 {
		everybody.Go(func() { s.reads(ctx, s.fromDatabase) })
		everybody.Go(func() { s.reads(ctx, s.fromREST) })
	}
	for i := 0; ctx.Err() == nil; i++ {
		s.pause(min(last/4, 15*time.Second))
		if n := s.nodes[i%len(s.nodes)]; ctx.Err() == nil {
			s.kills(n)
			n.start()
		}
	}
	everybody.Wait()
	s.closeAll()

	s.judges(c)
}

// judges checks everybody's history.
func (s *stage) judges(c *trial) {
	reads, deeds, impossible, unknown, odd := 0, 0, 0, 0, 0
	for _, a := range s.actors {
		h := s.historyOf(a)
		deeds, reads, odd = deeds+len(h)-len(s.readings), reads+len(s.readings), odd+len(a.odd)
		for _, err := range a.odd {
			c.t.Log(err)
		}
		if len(a.odd) > 0 {
			c.t.Logf("the sessions of %s on record: %v", a.user, s.column("SELECT CONCAT_WS(' ', FROM_UNIXTIME(opened_at/1000), 'to', FROM_UNIXTIME(closed_at/1000), node_id, reason) FROM presence_sessions WHERE user_id = ? ORDER BY id", a.user))
		}
		switch h.check(30 * time.Second) {
		case porcupine.Illegal:
			impossible++
			c.t.Logf("what happened to %s is not possible:\n%s", a.user, h)
		case porcupine.Unknown:
			unknown++
		}
	}
	c.says(reads, "users whose reads fit in no order 0", fmt.Sprintf("%d of %d, not decided %d (%d connects, losses and ends; %d kills)", impossible, len(s.actors), unknown, deeds, s.killed()), impossible+unknown == 0)
	c.none(deeds, odd, "connections that failed or ended for no reason:")
}

const stageRoom = "stage"

// acts is an actor's goroutine.
func (s *stage) acts(ctx context.Context, a *actor) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(s.paces.grace))))
		<-wait.Done()
		cancel()
		var open []*stint
		for _, st := range a.stints {
			if st.ended.IsZero() && !s.died(st) && !st.come.IsZero() {
				open = append(open, st)
			}
		}
		if ctx.Err() == nil && len(a.stints) < 60 && (len(open) == 0 || len(open) < 3 && rand.IntN(2) == 0) {
			s.connects(a)
		} else if len(open) > 0 {
			st := open[rand.IntN(len(open))]
			s.ends(a, st, rand.IntN(2) == 0)
		}
	}
}

// connects opens one more socket, somewhere.
func (s *stage) connects(a *actor) {
	nodes := s.living()
	st := &stint{session: len(a.stints) + 1, node: nodes[rand.IntN(len(nodes))], called: time.Now(), gone: make(chan struct{})}
	link, err := passes(st.node.base, a.user, stageRoom)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return // nothing happened
	}
	a.stints = append(a.stints, st)
	if err != nil {
		st.ended = time.Now()
		s.excuses(a, st, err)
		close(st.gone)
		return
	}
	st.come, st.link = time.Now(), link
	s.hands.Go(func() {
		defer close(st.gone)
		for {
			if _, err := link.Next(time.Minute); err != nil {
				st.lost, st.why = time.Now(), err
				return
			}
		}
	})
}

// ends closes a socket. One that was over before, on a node that lives, was dropped for no reason.
func (s *stage) ends(a *actor, st *stint, polite bool) {
	select {
	case <-st.gone:
		s.excuses(a, st, fmt.Errorf("dropped at %s after %v: %w", st.lost.Format("05.000"), st.lost.Sub(st.come), st.why))
		st.ended = st.lost // which is no more than what the client knows: the node closed it then or before
		return
	default:
	}
	st.ended, st.polite = time.Now(), polite
	if polite {
		st.link.Leave()
	} else {
		st.link.Vanish()
	}
}

// excuses counts what failed as odd, unless its node was killed; that is noted only when the process is gone.
func (s *stage) excuses(a *actor, st *stint, err error) {
	if !s.waitsFor(2*time.Second, func() bool { return s.died(st) }) {
		a.odd = append(a.odd, fmt.Errorf("session %d of %s on %s: %w", st.session, a.user, st.node.id, err))
	}
}

func (s *stage) closeAll() {
	for _, a := range s.actors {
		for _, st := range a.stints {
			if st.link != nil {
				st.link.Vanish()
			}
		}
	}
}

// kills kills a node and notes when.
func (s *stage) kills(n *node) {
	d := death{called: time.Now()}
	n.kill()
	d.done = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaths[n] = append(s.deaths[n], d)
}

func (s *stage) killed() (n int) {
	for _, list := range s.deaths {
		n += len(list)
	}
	return n
}

// fate returns the first death of a stint's node after it was begun.
func (s *stage) fate(st *stint) (d death, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.deaths[st.node] {
		if d.done.After(st.called) {
			return d, true
		}
	}
	return death{}, false
}

func (s *stage) died(st *stint) bool {
	_, found := s.fate(st)
	return found
}

// reads reads again and again.
func (s *stage) reads(ctx context.Context, read func(context.Context) (map[string]string, error)) {
	tick := time.NewTicker(2 * lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r := reading{from: time.Now()}
		var err error
		if r.states, err = read(ctx); err != nil {
			continue // a node was killed, or the time is over
		}
		r.to = time.Now()
		s.mu.Lock()
		s.readings = append(s.readings, r)
		s.mu.Unlock()
	}
}

func (s *stage) fromDatabase(ctx context.Context) (map[string]string, error) {
	here, err := s.here(ctx)
	states := map[string]string{}
	for k, state := range here {
		states[k.user] = state
	}
	return states, err
}

func (s *stage) fromREST(ctx context.Context) (map[string]string, error) {
	nodes := s.living()
	r, err := nodes[rand.IntN(len(nodes))].roster(ctx, stageRoom)
	return r.states, err
}

// historyOf puts together what happened to an actor.
func (s *stage) historyOf(a *actor) history {
	var h history
	for _, st := range a.stints {
		s.addStint(&h, st)
	}
	for _, r := range s.readings {
		state := r.states[a.user]
		if state == "" {
			state = "offline"
		}
		h.add(deed{kind: "read", saw: state}, r.from, r.to)
	}
	return h
}

// addStint adds what one socket did, and when it may have taken effect at the latest.
func (s *stage) addStint(h *history, st *stint) {
	d, dies := s.fate(st)
	noticed := d.done.Add(s.paces.nodeTimeout + 2*time.Second + promptly) // by a survivor
	switch {
	case !st.come.IsZero():
		h.add(deed{kind: "connect", session: st.session}, st.called, st.come)
	case dies:
		h.add(deed{kind: "connect", session: st.session, maybe: true}, st.called, d.done.Add(promptly))
		s.addLoss(h, st.session, st.called, noticed)
		return
	default:
		return // counted as odd
	}
	byItself := !st.ended.IsZero() && (!dies || st.ended.Before(d.done))
	inTime := byItself && (!dies || st.ended.Add(promptly).Before(d.called))
	switch {
	case inTime && st.polite:
		h.add(deed{kind: "leave", session: st.session}, st.ended, st.ended.Add(promptly))
	case inTime:
		s.addLoss(h, st.session, st.ended, st.ended.Add(promptly))
	case byItself && st.polite:
		h.add(deed{kind: "leave", session: st.session, maybe: true}, st.ended, d.done.Add(promptly))
		s.addLoss(h, st.session, st.ended, noticed)
	case byItself:
		s.addLoss(h, st.session, st.ended, noticed)
	case dies:
		s.addLoss(h, st.session, d.called, noticed)
	}
}

// addLoss adds the loss of a session and the end of the grace that it may begin.
func (s *stage) addLoss(h *history, session int, from, to time.Time) {
	h.add(deed{kind: "lose", session: session}, from, to)
	h.add(deed{kind: "expire", session: session}, from.Add(s.paces.grace-20*time.Millisecond), to.Add(s.paces.grace+promptly))
}
