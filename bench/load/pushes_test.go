package load

import (
	"strings"
	"testing"
	"time"
)

func TestSeq(t *testing.T) {
	text := `42["note_tree",{"topicInfo":{"seq":"` + Seq(7) + `","pad":"x"}}]`
	changed := WithSeq(text, 123)
	if len(changed) != len(text) || !strings.Contains(changed, `"seq":"0000000123"`) {
		t.Errorf("got %s", changed)
	}
}

// Whoever misses a push, or gets one twice, is noticed.
func TestPushes(t *testing.T) {
	message := func(n int) []byte { return []byte(`42["note_tree",{"topicInfo":{"seq":"` + Seq(n) + `"}}]`) }
	p := NewPushes(100, 3)
	for i := range 3 {
		if seq := p.Send(i, 2, Now()); seq != 100+i {
			t.Errorf("push %d has the number %d", i, seq)
		}
		p.Handle(nil, message(100+i))
	}
	if p.Done(3) || p.Exact(3) == nil {
		t.Error("half of the deliveries are all of them")
	}
	if err := p.Await(t.Context(), 2, time.Millisecond); err == nil {
		t.Error("what did not arrive was not waited for")
	}
	for i := range 3 {
		p.Handle(nil, message(100+i))
	}
	for _, other := range []string{"42nothing", `42"seq":"12`, `42"seq":"xxxxxxxxxx"`, string(message(99)), string(message(103))} {
		p.Handle(nil, []byte(other))
	}
	if !p.Done(3) || p.Exact(3) != nil {
		t.Errorf("all arrived: %v", p.Exact(3))
	}
	if p.Await(t.Context(), 0, time.Minute) != nil || p.Due(3) != 6 {
		t.Error("what arrived is waited for")
	}
	n, size := p.Deliveries()
	if n != 6 || size != float64(len(message(100))) || p.Times.Count() != 6 {
		t.Errorf("%d deliveries of %v bytes, %d times", n, size, p.Times.Count())
	}
	for i, last := range p.Last(3) {
		if last <= 0 {
			t.Errorf("push %d took %v", i, last)
		}
	}
	p.Handle(nil, message(101))
	if err := p.Exact(3); err == nil || !strings.Contains(err.Error(), "1 somebody twice") {
		t.Errorf("got %v", err)
	}
}

func TestCrowd(t *testing.T) {
	w := NewCrowd(12)
	tree := func(n string) []byte {
		return []byte(`42["note_tree",{"version":1,"headData":{"onLineNumber":` + n + `}}]`)
	}
	a, b := &Conn{}, &Conn{}
	for _, c := range []struct {
		conn    *Conn
		message []byte
		want    int
	}{
		{a, tree("1"), 0}, {a, tree("12"), 1}, {a, tree("12"), 1}, {b, tree("12"), 2}, {a, tree("11"), 1}, {a, tree("123"), 1},
		{b, []byte(`42["notice",{"onLineNumber":1}]`), 1}, {a, tree("12"), 2}, {a, tree(""), 1},
	} {
		if w.Handle(c.conn, c.message); w.Shown() != c.want {
			t.Errorf("after %s %d are shown 12, want %d", c.message, w.Shown(), c.want)
		}
	}
	if w.Trees() != 8 || w.Length() != int64(len(tree(""))) {
		t.Errorf("%d trees, the last of %d bytes", w.Trees(), w.Length())
	}
}
