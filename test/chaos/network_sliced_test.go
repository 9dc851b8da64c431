package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// Everything that passes between people and their node is cut into slices of 1 to 5 bytes.
func TestSlicedFrames(t *testing.T) {
	beside(t)
	c := begin(t, networkSection, "frames cut in slices of 1 to 5 bytes")
	town := found(c, 1, nil)
	sliced := newLink(t, "node", hostOf(town.nodes[0].base))
	sliced.poison("slicer", "upstream", `{"average_size":3,"size_variation":2,"delay":0}`)
	sliced.poison("slicer", "downstream", `{"average_size":3,"size_variation":2,"delay":0}`)
	through := "http://" + sliced.addr()
	people := town.gathers("p", storetest.Size(100, 20), visit{to: func() []string { return []string{through} }})
	w := town.watches()
	w.stay(people.keys())
	lines := storetest.Size(20, 5)
	for i := range lines {
		for _, p := range people {
			if err := p.say("chat message", fmt.Sprintf("line %d", i)); err != nil {
				t.Error(err)
			}
		}
		town.pause(100 * time.Millisecond) // less than the limit of events
	}
	want := lines * len(people) * len(people) / rooms
	came := town.waitsFor(60*time.Second, func() bool { return people.saw("chat message") >= want })
	town.settles(20 * time.Second)
	k, o, n := town.counts(), outcome{t: t}, storetest.Size(200, 10)
	parallel(n, 4, func(i int) {
		o.note(town.upgradesOver(through, i))
	})
	k.end()
	wrong, evidence := w.end().wrong()
	c.says(want, "chat lines at everybody, each once", fmt.Sprint(people.saw("chat message")), came && people.saw("chat message") == want)
	c.says(len(people), "dropped 0, shown offline 0", fmt.Sprintf("%d, %d%s", len(people)-people.in(), wrong, evidence), wrong == 0 && people.in() == len(people))
	c.says(n, "upgrades that failed or lost an event 0", fmt.Sprint(len(o.troubled)+o.wrong), len(o.troubled)+o.wrong == 0)
	town.people.scatter()
	town.gone(c, n+len(people))
}

// upgradesOver lets a client come by polling and change to WebSocket.
func (town *town) upgradesOver(base string, i int) (s numbers, err error) {
	p, err := town.polls(base, i)
	if err != nil {
		return s, err
	}
	defer p.Leave()
	if err := s.listens(p, 2); err != nil {
		return s, err
	}
	if err := p.Upgrade(); err != nil {
		return s, err
	}
	return s, s.listens(p, 5)
}
