package presence

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is said of a user follows from what was said, his open sessions, how the last one ended, and time.
func TestDerive(t *testing.T) {
	const now, grace = 1000, 50
	never := standing{state: Offline}
	online := standing{state: Online, since: 900, arrivedAt: 800}
	waiting := standing{state: Reconnecting, since: 990, arrivedAt: 800, dueAt: 1040, why: Lost}
	overdue := standing{state: Reconnecting, since: 900, arrivedAt: 800, dueAt: 1000, why: NodeLost}
	left := standing{state: Offline, since: 700, arrivedAt: 600, why: Left}

	came := standing{state: Online, since: now, arrivedAt: now}
	lost := standing{state: Reconnecting, since: now, arrivedAt: 800, dueAt: now + grace, why: Lost}
	gone := func(why Reason) standing { return standing{state: Offline, since: now, arrivedAt: 800, why: why} }

	for _, c := range []struct {
		name string
		was  standing
		deed deed
		want standing
	}{
		{"comes for the first time", never, deed{open: 1, came: true}, came},
		{"comes again", left, deed{open: 1, came: true}, came},
		{"opens a second session", online, deed{open: 2, came: true}, online},
		{"comes back within the grace", waiting, deed{open: 1, came: true}, standing{state: Online, since: now, arrivedAt: 800}},
		{"comes back when the grace is over but not swept", overdue, deed{open: 1, came: true}, standing{state: Online, since: now, arrivedAt: 800}},
		{"loses one of two", online, deed{open: 1, closed: Lost}, online},
		{"leaves with one of two", online, deed{open: 1, closed: Left}, online},
		{"is lost", online, deed{closed: Lost}, lost},
		{"leaves", online, deed{closed: Left}, gone(Left)},
		{"is kicked", online, deed{closed: Kicked}, gone(Kicked)},
		{"loses the last session as a duplicate", online, deed{closed: Duplicate}, gone(Kicked)},
		{"opens and is lost in one batch", never, deed{came: true, closed: Lost}, standing{state: Reconnecting, since: now, arrivedAt: now, dueAt: now + grace, why: Lost}},
		{"opens and leaves in one batch", never, deed{came: true, closed: Left}, standing{state: Offline, since: now, arrivedAt: now, why: Left}},
		{"waits", waiting, deed{}, waiting},
		{"waits and another old session is lost", waiting, deed{closed: Lost}, waiting},
		{"waits and leaves by an old session", waiting, deed{closed: Left}, gone(Left)},
		{"is kicked while waiting", waiting, deed{ended: Kicked}, gone(Kicked)},
		{"is due", overdue, deed{}, gone(NodeLost)},
		{"flaps: back and lost in one batch", overdue, deed{came: true, closed: Lost}, lost},
		{"is called online without a session", online, deed{}, lost},
		{"is called offline with a session", left, deed{open: 1}, came},
		{"ended but a session is open", online, deed{open: 1, ended: Kicked}, online},
		{"nothing happens to who is not there", left, deed{closed: Lost}, left},
	} {
		if diff := cmp.Diff(c.want, derive(c.was, c.deed, now, grace), cmp.AllowUnexported(standing{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	if got := derive(online, deed{closed: Lost}, now, 0); got.state != Offline || got.why != Lost {
		t.Errorf("lost without any grace: got %+v", got)
	}
}
