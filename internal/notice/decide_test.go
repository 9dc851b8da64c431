package notice

import "testing"

// Only a difference between what was said and the truth is worth a word, and only a free window lets it out.
func TestDecide(t *testing.T) {
	for _, c := range []struct {
		said                     string
		online, crowded, claimed bool
		want                     verdict
	}{
		{"", false, false, true, rest},
		{"", false, true, false, rest},
		{"", true, false, true, say},
		{"", true, false, false, hold},
		{"", true, true, false, summarise},
		{saidOnline, true, false, true, rest},
		{saidOnline, true, true, true, rest},
		{saidOnline, false, false, true, say},
		{saidOnline, false, false, false, hold},
		{saidOnline, false, true, true, summarise},
		{saidOffline, false, false, true, rest},
		{saidOffline, true, false, true, say},
		{saidOffline, true, false, false, hold},
		{saidOffline, true, true, false, summarise},
	} {
		if got := decide(c.said, c.online, c.crowded, c.claimed); got != c.want {
			t.Errorf("decide(%q, online %v, crowded %v, claimed %v) = %v, want %v", c.said, c.online, c.crowded, c.claimed, got, c.want)
		}
	}
}

// Only an exact look takes a pair off the list of what is due; a look that may be stale has it verified.
func TestAfter(t *testing.T) {
	const verifyAt, freeAt = 1250, 9000
	from := standing{said: saidOnline, dueAt: 1000, change: 7, held: 3}
	for _, c := range []struct {
		name  string
		v     verdict
		exact bool
		want  standing
	}{
		{"true, exact", rest, true, standing{said: saidOnline, change: 7, held: 3}},
		{"true, perhaps", rest, false, from},
		{"said, exact", say, true, standing{said: saidOffline, change: 7, held: 3}},
		{"said, perhaps", say, false, standing{said: saidOffline, dueAt: verifyAt, change: 7, held: 3}},
		{"summarised, exact", summarise, true, standing{said: saidOffline, change: 7, held: 3}},
		{"held, exact", hold, true, standing{said: saidOnline, dueAt: freeAt, change: 7, held: 7}},
		{"held, perhaps", hold, false, standing{said: saidOnline, dueAt: freeAt, change: 7, held: 7}},
	} {
		if got := from.after(c.v, false, c.exact, verifyAt, freeAt); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A mark that is no longer the number of the last change belongs to a truth that may be over.
func TestHeeds(t *testing.T) {
	for _, c := range []struct {
		dueAt, mark int64
		want        bool
	}{{1, 0, true}, {1, 7, true}, {1, 6, false}, {0, 0, false}, {0, 7, false}} {
		if got := (standing{dueAt: c.dueAt, change: 7}).heeds(c.mark); got != c.want {
			t.Errorf("due %d, mark %d: %v", c.dueAt, c.mark, got)
		}
	}
}
