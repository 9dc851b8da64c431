package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"rollcall/internal/storetest"
)

// catchUp is how long another node may take to find out by itself.
const catchUp = 5 * time.Second

// usualPoll has nodes look for news as seldom as they do by default.
func usualPoll(*paces) settings { return settings{"cluster.poll_interval": "3s"} }

// emptied takes everything that is in Redis away, of all databases, again and again.
func emptied(town *town) func() {
	r := redis.NewClient(&redis.Options{Addr: storetest.RedisAddr(town.t)})
	town.t.Cleanup(func() { _ = r.Close() })
	return again(50*time.Millisecond, func(ctx context.Context) {
		if err := r.FlushAll(ctx).Err(); err != nil && ctx.Err() == nil {
			town.t.Errorf("FLUSHALL: %v", err)
		}
	})(town)
}

// Redis is refused, swallows everything, or is emptied. This runs alone also in the short form: it is about speed, and there is one
// Redis to empty for all cases.
func TestRedisAway(t *testing.T) {
	for _, f := range []fault{refused(toCache), blackHoled(toCache), {"emptied (FLUSHALL) again and again", emptied}} {
		t.Run(f.name, func(t *testing.T) { redisAway(t, f) })
	}
}

func redisAway(t *testing.T, f fault) {
	c := begin(t, storesSection, "Redis "+f.name)
	town := found(c, 2, usualPoll)
	here, there := town.nodes[0], town.nodes[1]
	people := town.gathers("stays", storetest.Size(500, 30), visit{})
	near, far := town.watchers(here), town.watchers(there)
	all := people.and(near, far)
	samples := storetest.Size(1000, 100)
	w := town.watches()
	w.stay(all.keys())
	before := &pushes{near: near, far: far, from: here}
	before.runs(samples/2, 0)

	undo := f.does(town)
	begun := time.Now()
	goes, err := town.enters(visit{user: "goes", conference: "room-0", to: at(here)})
	if err != nil {
		t.Fatal(err)
	}
	goes.leave()
	comes, err := town.enters(visit{user: "comes", conference: "room-1", to: at(here)})
	if err != nil {
		t.Fatal(err)
	}
	w.stay([]key{comes.key()})
	right := town.settles(30 * time.Second)
	during := &pushes{near: near, far: far, from: here}
	during.runs(samples, time.Duration(storetest.Size(30, 4))*time.Second-time.Since(begun))
	undo()
	town.pause(time.Second) // they subscribe again, at the latest a second after they have noticed
	after := &pushes{near: near, far: far, from: here}
	after.runs(samples/10, 0)
	wrong, evidence := w.end().wrong()

	c.stayed(all)
	figure := fmt.Sprintf("%v, before %v", p99(during.local), p99(before.local))
	if c.progress("p99 of PATCH to note_tree on the same node %s", figure); storetest.Proving() { // of the few of the short form it is the slowest
		c.says(len(during.local), "PATCH to note_tree on the same node: p99 no worse than double of before, or 50ms", figure, p99(during.local) <= max(2*p99(before.local), 50*time.Millisecond))
	}
	c.within(len(during.remote), "the last client of another node has the tree", slices.Max(during.remote), catchUp)
	c.within(len(all)+2, "who comes and goes is right on every node", right, catchUp)
	c.says(len(all)+1, "shown offline or online wrongly 0", fmt.Sprintf("%d%s", wrong, evidence), wrong == 0)
	c.none(len(before.local)+len(during.local)+len(after.local), before.failed+during.failed+after.failed, "pushes that failed:")
	c.within(len(after.remote), "a second after its return the last client of another node has the tree", slices.Max(after.remote), time.Second)
}

// pushes measures trees from their PATCH at a node to clients of that one and of another. near[i] and far[i] are in one room.
type pushes struct {
	near, far crowd
	from      *node

	local  []time.Duration // belongs to the caller of runs
	failed int

	mu     sync.Mutex // guards remote
	remote []time.Duration
}

// runs pushes at least n trees, and for so long.
func (s *pushes) runs(n int, lasts time.Duration) {
	var away sync.WaitGroup
	for begun := time.Now(); len(s.local)+s.failed < n || time.Since(begun) < lasts; {
		i := len(s.local) % len(s.near)
		pushed := time.Now()
		version, err := s.from.patches(s.near[i].conference, map[string]any{"topicInfo": map[string]any{"at": pushed.UnixNano()}})
		if err != nil || !s.near[i].has(version, 30*time.Second) {
			s.failed++
			continue
		}
		s.local = append(s.local, time.Since(pushed))
		away.Go(func() {
			_ = s.far[i].has(version, 30*time.Second) // what never comes took too long as well
			s.mu.Lock()
			s.remote = append(s.remote, time.Since(pushed))
			s.mu.Unlock()
		})
		s.from.waits(20 * time.Millisecond)
	}
	away.Wait()
}

// p99 is the time that one of a hundred exceeds.
func p99(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[(len(sorted)*99-1)/100].Round(10 * time.Microsecond)
}

// patches changes a tree at a node and returns its version.
func (n *node) patches(conference string, patch any) (version int64, err error) {
	var edited struct{ Version int64 }
	err = n.call(n.ctx, http.MethodPatch, "/api/v1/conferences/"+conference+"/tree", patch, &edited)
	return edited.Version, err
}

// has waits until the person has a tree of this version or a later one.
func (p *person) has(version int64, most time.Duration) bool {
	return p.wait(most, func() bool { return p.version >= version })
}

// What is for a user on another node gets there without Redis.
func TestRedisAwayReaches(t *testing.T) {
	for _, f := range []fault{refused(toCache), blackHoled(toCache)} {
		t.Run(f.name, func(t *testing.T) {
			beside(t)
			redisAwayReaches(t, f)
		})
	}
}

func redisAwayReaches(t *testing.T, f fault) {
	c := begin(t, storesSection, "Redis "+f.name+", for a user on another node")
	town := found(c, 2, usualPoll)
	here, there := town.nodes[0], town.nodes[1]
	n := storetest.Size(100, 6)
	var mine, theirs crowd
	for i := range n {
		for _, side := range []struct {
			to   *node
			list *crowd
		}{{here, &mine}, {there, &theirs}} {
			p, err := town.enters(visit{user: fmt.Sprintf("u-%d", i), conference: fmt.Sprintf("pair-%d", i), to: at(side.to)})
			if err != nil {
				t.Fatal(err)
			}
			*side.list = append(*side.list, p)
		}
	}
	defer f.does(town)()
	for _, kind := range []struct {
		what, event string
		does        func(i int) error
	}{
		{"a notice", "notice", func(i int) error {
			return here.call(town.ctx, "POST", "/api/v1/notices", map[string]any{"to": map[string]any{"users": []string{theirs[i].user}}, "title": "hello"}, nil)
		}},
		{"a chat line", "chat message", func(i int) error { return mine[i].say("chat message", "hello") }},
		{"a read mark", "push_message", func(i int) error { return mine[i].say("notice_read", map[string]any{"all": true}) }},
		{"a kick", "kicked", func(i int) error {
			return here.call(town.ctx, "POST", "/api/v1/users/"+theirs[i].user+"/kick", map[string]any{}, nil)
		}},
	} {
		took, failed := reaches(theirs, kind.event, kind.does)
		c.says(n, kind.what+" within "+catchUp.String(), fmt.Sprintf("%v, failed %d%s", slices.Max(took).Round(10*time.Millisecond), len(failed), first3(failed)), slices.Max(took) <= catchUp && len(failed) == 0)
	}
	town.waitsFor(catchUp, func() bool { return theirs.in()+mine.in() == 0 }) // kicked is said a moment before the end
	c.none(2*n, theirs.in()+mine.in(), "kicked sockets that are still there:")
}

// reaches does something for each of a crowd, all of them spread over a second or so, and returns how long each took to get the
// event that follows.
func reaches(people crowd, event string, does func(i int) error) (took []time.Duration, failed []error) {
	took, errs := make([]time.Duration, len(people)), make([]error, len(people))
	parallel(len(people), len(people), func(i int) {
		p := people[i]
		p.town.waits(time.Duration(i) * time.Second / time.Duration(len(people)))
		before, begun := p.seen(event), time.Now()
		if errs[i] = does(i); errs[i] != nil {
			return
		}
		if !p.wait(20*time.Second, func() bool { return p.count[event] > before }) {
			errs[i] = fmt.Errorf("%s did not get %s", p.user, event)
		}
		took[i] = time.Since(begun)
	})
	return took, slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// first3 is the first of many errors.
func first3(errs []error) (text string) {
	for _, err := range errs[:min(3, len(errs))] {
		text += fmt.Sprintf("; %v", err)
	}
	return text
}
