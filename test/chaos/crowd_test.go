package chaos_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// parallel calls f with 0 to n-1, at most width at a time.
func parallel(n, width int, f func(i int)) {
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range width {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	all.Wait()
}

// crowd is people who came in the same way.
type crowd []*person

// gathers lets n people come, as v but for user and conference: they are called after the crowd, and ten share a room. A
// person that is not let in fails the test.
func (town *town) gathers(name string, n int, v visit) crowd {
	town.t.Helper()
	list := make(crowd, n)
	var failed atomic.Pointer[error]
	parallel(n, 32, func(i int) {
		one := v
		one.user = fmt.Sprintf("%s-%d", name, i)
		if one.conference == "" {
			one.conference = fmt.Sprintf("room-%d", i%rooms)
		}
		p, err := town.enters(one)
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			return
		}
		list[i] = p
	})
	if err := failed.Load(); err != nil {
		town.t.Fatalf("a crowd of %d: %v", n, *err)
	}
	return list
}

// rooms is how many conferences a crowd fills: few enough to have watchers in each, and as many as keep the rooms of a large
// crowd below presence.detail_max, up to which everybody is told of everybody.
const rooms = 10

// watchers lets one person into each room of a crowd at a node, to see what the room is told.
func (town *town) watchers(n *node) crowd {
	town.t.Helper()
	var list crowd
	for i := range rooms {
		p, err := town.enters(visit{user: fmt.Sprintf("watcher-%s-%d", n.id, i), conference: fmt.Sprintf("room-%d", i), to: at(n)})
		if err != nil {
			town.t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func (c crowd) users() []string {
	var list []string
	for _, p := range c {
		list = append(list, p.user)
	}
	return list
}

func (c crowd) keys() []key {
	var list []key
	for _, p := range c {
		list = append(list, p.key())
	}
	return list
}

// in counts those who are connected.
func (c crowd) in() int {
	n := 0
	for _, p := range c {
		if p.isIn() {
			n++
		}
	}
	return n
}

// dropped counts those who are not connected, or were not for a while, and says why some are not.
func (c crowd) dropped() (n int, evidence string) {
	for _, p := range c {
		p.mu.Lock()
		if !p.in || p.stays > 1 {
			if n++; n <= 3 {
				evidence += fmt.Sprintf(" %s after %v: %v;", p.user, p.stayed.Round(time.Millisecond), p.why)
			}
		}
		p.mu.Unlock()
	}
	return n, evidence
}

// stayed says whether all have been connected all the time.
func (c *trial) stayed(people crowd) {
	c.t.Helper()
	n, evidence := people.dropped()
	c.says(len(people), "sockets dropped 0", fmt.Sprintf("%d%s", n, evidence), n == 0)
}

// saw counts the events of a name that all of them got.
func (c crowd) saw(event string) int {
	n := 0
	for _, p := range c {
		n += p.seen(event)
	}
	return n
}

// sawGo counts the offline_notices about users that all of them got.
func (c crowd) sawGo(users []string) int {
	about := map[string]bool{}
	for _, u := range users {
		about[u] = true
	}
	n := 0
	for _, p := range c {
		p.mu.Lock()
		for user, times := range p.goneSeen {
			if about[user] {
				n += times
			}
		}
		p.mu.Unlock()
	}
	return n
}

// and joins crowds.
func (c crowd) and(others ...crowd) crowd { return slices.Concat(append([]crowd{c}, others...)...) }
