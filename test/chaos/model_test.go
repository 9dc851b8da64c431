package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What presence of one user may look like, as a model for porcupine: whether there is an order of everything that happened, each
// thing somewhere between its beginning and its end, in which every read saw what was true.

// deed is something that happened to one user in one conference.
type deed struct {
	kind    string // connect, leave, lose, expire, read
	session int    // below 64, by which connect, leave, lose and expire belong together
	maybe   bool   // a connect or leave that nobody answered for: its node was killed meanwhile
	saw     string // by a read: online, reconnecting, offline
}

// standing is the state of the model.
type standing struct {
	state  string
	open   uint64 // sessions, as bits
	over   uint64 // sessions that ended, or never were
	lostBy int    // the session whose loss began the grace
}

// Ends of a session come after its beginning. The end of a grace is a deed of its own, some time after the loss that began it, and
// does nothing if the user has come back or the grace that runs is another one.
var presenceModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{standing{state: "offline"}} },
	Step: func(state, input, _ any) []any {
		was, d := state.(standing), input.(deed)
		next, possible := was.after(d)
		switch {
		case !possible:
			return nil
		case d.maybe && d.kind == "connect":
			was.over |= uint64(1) << d.session
			return []any{next, was}
		case d.maybe:
			return []any{next, was}
		}
		return []any{next}
	},
}

// after returns what follows from a deed that is done, and whether it is possible.
func (s standing) after(d deed) (next standing, possible bool) {
	bit := uint64(1) << d.session
	switch {
	case d.kind == "read":
		return s, d.saw == s.state
	case d.kind == "connect":
		s.state, s.lostBy, s.open = "online", 0, s.open|bit
		return s, true
	case s.open&bit == 0 && s.over&bit == 0:
		return s, false // it has not begun
	case d.kind == "expire":
		if s.state == "reconnecting" && s.lostBy == d.session {
			s.state, s.lostBy = "offline", 0
		}
		return s, s.open&bit == 0
	case s.open&bit == 0:
		return s, true // an end of what is over changes nothing
	}
	s.open, s.over = s.open&^bit, s.over|bit
	switch {
	case s.open != 0:
	case d.kind == "leave":
		s.state = "offline"
	default:
		s.state, s.lostBy = "reconnecting", d.session
	}
	return s, true
}

// history is what happened to one user.
type history []porcupine.Operation

func (h *history) add(d deed, from, to time.Time) {
	*h = append(*h, porcupine.Operation{Input: d, Call: from.UnixNano(), Return: max(from.UnixNano(), to.UnixNano())})
}

// check reports whether the history is possible; Unknown when that takes too long to find out.
func (h history) check(most time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(presenceModel.ToModel(), h, most)
}

func (h history) String() string {
	text := ""
	for _, o := range h {
		d := o.Input.(deed)
		text += fmt.Sprintf("  %s to %s  %s %d maybe=%v %s\n", time.Unix(0, o.Call).Format("05.000"), time.Unix(0, o.Return).Format("05.000"), d.kind, d.session, d.maybe, d.saw)
	}
	return text
}

// The check finds what is planted, and nothing where all is well.
func TestModel(t *testing.T) {
	type step struct {
		deed
		from, to int // ms
	}
	connect := step{deed{kind: "connect", session: 1}, 0, 10}
	saw := func(state string, from, to int) step { return step{deed{kind: "read", saw: state}, from, to} }
	lost := []step{connect, {deed{kind: "lose", session: 1}, 100, 200}, {deed{kind: "expire", session: 1}, 300, 400}}
	left := []step{connect, {deed{kind: "leave", session: 1}, 100, 200}}
	again := step{deed{kind: "connect", session: 2}, 250, 260}
	killed := []step{{deed{kind: "connect", session: 1, maybe: true}, 0, 50}, {deed{kind: "lose", session: 1}, 20, 200}, {deed{kind: "expire", session: 1}, 300, 400}}
	for _, c := range []struct {
		name  string
		steps []step
		want  porcupine.CheckResult
	}{
		{"online while connected", []step{connect, saw("online", 20, 30)}, porcupine.Ok},
		{"before the connect is answered anything goes", []step{connect, saw("offline", 5, 8), saw("online", 8, 9)}, porcupine.Ok},
		{"a whole grace", append(lost, saw("online", 150, 160), saw("reconnecting", 160, 170), saw("reconnecting", 310, 320), saw("offline", 320, 330)), porcupine.Ok},
		{"back within the grace", append(lost, again, saw("online", 350, 390), saw("online", 500, 510)), porcupine.Ok},
		{"a connect that its node's death swallowed", append(killed, saw("offline", 10, 100)), porcupine.Ok},
		{"or did not", append(killed, saw("online", 30, 40), saw("reconnecting", 210, 220)), porcupine.Ok},

		{"false offline", []step{connect, saw("offline", 20, 30)}, porcupine.Illegal},
		{"offline and online again during a connect", []step{connect, saw("online", 2, 3), saw("offline", 4, 5)}, porcupine.Illegal},
		{"offline within the grace", append(lost, saw("offline", 210, 290)), porcupine.Illegal},
		{"ghost after the grace", append(lost, saw("reconnecting", 410, 420)), porcupine.Illegal},
		{"ghost after a goodbye", append(left, saw("online", 210, 220)), porcupine.Illegal},
		{"grace after a goodbye", append(left, saw("reconnecting", 150, 160)), porcupine.Illegal},
		{"taken offline by an old session", append(lost, again, saw("offline", 320, 330)), porcupine.Illegal},
		{"it goes back", append(lost, saw("reconnecting", 110, 120), saw("online", 130, 140)), porcupine.Illegal},
		{"a death that nobody noticed", append(killed, saw("online", 30, 40), saw("online", 210, 220)), porcupine.Illegal},
	} {
		var h history
		epoch := time.Unix(1_790_000_000, 0)
		for _, s := range c.steps {
			h.add(s.deed, epoch.Add(time.Duration(s.from)*time.Millisecond), epoch.Add(time.Duration(s.to)*time.Millisecond))
		}
		if got := h.check(10 * time.Second); got != c.want {
			t.Errorf("%s: the check says %s, want %s\n%s", c.name, got, c.want, h)
		}
	}
}
