package complaint

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rarely
		if !r.Again("a") || r.Again("a") || !r.Again("b") {
			t.Error("the first complaint about each must pass, and no second one")
		}
		time.Sleep(Every - time.Millisecond)
		if r.Again("a") {
			t.Error("a complaint came too soon")
		}
		time.Sleep(time.Millisecond)
		if !r.Again("a") || r.Again("a") {
			t.Error("after a while one complaint must pass")
		}
	})
}

func TestOnce(t *testing.T) {
	var o Once
	for i, c := range []struct {
		what         string
		fails, begun bool
	}{{"a", false, false}, {"a", true, true}, {"a", true, false}, {"b", true, true}, {"a", false, false}, {"a", true, true}, {"b", true, false}} {
		if got := o.Begins(c.what, c.fails); got != c.begun {
			t.Errorf("step %d, %s fails %v: begins %v", i, c.what, c.fails, got)
		}
	}
}
