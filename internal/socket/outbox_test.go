package socket

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// fakeDrain counts what an outbox says to its transport.
type fakeDrain struct{ readies, overflows int }

func (d *fakeDrain) ready()    { d.readies++ }
func (d *fakeDrain) overflow() { d.overflows++ }

func tree(version int64, size int) *frame {
	f := newFrame(bytes.Repeat([]byte("x"), size), false)
	f.stream, f.version, f.latest = "tree:42", version, true
	return f
}

func TestOnlyTheLatestTreeWaits(t *testing.T) {
	d := &fakeDrain{}
	o := newOutbox(1000, d)
	notice := newFrame([]byte("notice"), false)
	o.push(tree(1, 300))
	o.push(notice)
	o.push(tree(2, 300))
	o.push(tree(3, 300))
	if got := o.push(tree(2, 300)); got != stale {
		t.Errorf("an older tree was %v, want stale", got)
	}
	frames := o.take(d)
	if len(frames) != 2 || frames[0] != notice || frames[1].version != 3 {
		t.Fatalf("%d frames wait, want the notice and then the last tree", len(frames))
	}
	if o.bytes != 0 || d.overflows != 0 {
		t.Errorf("%d bytes are counted, %d overflows", o.bytes, d.overflows)
	}
}

func TestSlowClientIsGivenUpOnce(t *testing.T) {
	d := &fakeDrain{}
	o := newOutbox(1000, d)
	for range 20 {
		o.push(newFrame(make([]byte, 300), false))
	}
	if d.overflows != 1 {
		t.Errorf("%d overflows, want 1", d.overflows)
	}
	if o.take(d) != nil || o.push(newFrame(nil, false)) != closed {
		t.Error("frames are kept for a client that was given up")
	}
}

func TestRosterDiffsFollowEachOther(t *testing.T) {
	d := &fakeDrain{}
	o := newOutbox(1000, d)
	diff := func(from, to int64) *frame {
		return &frame{stream: "roster:42", from: from, follows: true, version: to}
	}
	if got := o.push(diff(1, 2)); got != gap {
		t.Errorf("a diff without a state before it was %v, want a gap", got)
	}
	o.push(&frame{stream: "roster:42", version: 2})
	for _, c := range []struct {
		f    *frame
		want verdict
	}{{diff(1, 2), stale}, {diff(3, 4), gap}, {diff(2, 4), queued}, {diff(4, 5), queued}} {
		if got := o.push(c.f); got != c.want {
			t.Errorf("the diff %d to %d was %v, want %v", c.f.from, c.f.version, got, c.want)
		}
	}
	o.forget("roster:42")
	if got := o.push(&frame{stream: "roster:42", version: 1}); got != queued {
		t.Errorf("after leaving, a state was %v", got)
	}
}

// Whoever falls so far behind that the patches are longer than the tree gets the tree, and none of them.
func TestTooManyPatchesAreATree(t *testing.T) {
	d := &fakeDrain{}
	o := newOutbox(1000, d)
	patch := func(to int64) *frame {
		f := newFrame(make([]byte, 100), false)
		f.stream, f.version, f.from, f.follows, f.instead = "tree:42", to, to-1, true, 300
		return f
	}
	if got := o.push(patch(2)); got != gap {
		t.Errorf("a patch before any tree was %v, want a gap", got)
	}
	o.push(tree(1, 300))
	for to := int64(2); to <= 4; to++ {
		if got := o.push(patch(to)); got != queued {
			t.Errorf("patch %d was %v", to, got)
		}
	}
	if got := o.push(patch(5)); got != gap {
		t.Errorf("with 300 bytes of patches waiting, another was %v, want a gap", got)
	}
	o.push(tree(5, 300))
	o.push(patch(6))
	if frames := o.take(d); len(frames) != 2 || frames[0].version != 5 || frames[1].version != 6 || o.bytes != 0 {
		t.Errorf("%d frames wait, %d bytes are counted", len(frames), o.bytes)
	}
}

func TestOnlyOneTransportDrains(t *testing.T) {
	polling, webSocket := &fakeDrain{}, &fakeDrain{}
	o := newOutbox(1000, polling)
	o.push(newFrame([]byte("a"), false))
	o.hand(webSocket)
	if o.take(polling) != nil {
		t.Error("the old transport still drains")
	}
	o.close(polling) // the old transport ends; the outbox lives on
	if frames := o.take(webSocket); len(frames) != 1 || webSocket.readies != 1 {
		t.Errorf("the new transport got %d frames and %d calls", len(frames), webSocket.readies)
	}
}

func TestPayload(t *testing.T) {
	frames := []*frame{newFrame([]byte("4é😀"), false), newFrame([]byte("2"), false)}
	if got := string(payload(frames, 4)); got != "4é😀\x1e2" {
		t.Errorf("EIO 4: %q", got)
	}
	if got := string(payload(frames, 3)); got != "4:4é😀1:2" {
		t.Errorf("EIO 3: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if !strings.Contains(s, "\uFFFD") && utf16Length([]byte(s)) != len(utf16.Encode([]rune(s))) {
			t.Fatalf("length of %q is %d", s, utf16Length([]byte(s)))
		}
	})
}

// What is held waits, and nobody spins for it; when it is released whoever drains is called once.
func TestHeldFramesWait(t *testing.T) {
	d, later := &fakeDrain{}, &fakeDrain{}
	o := newOutbox(1000, d)
	o.release()
	o.hold()
	f := newFrame([]byte("40"), false)
	o.push(f)
	if o.take(d) != nil || !o.idle() {
		t.Error("a held frame was taken, or is waited for")
	}
	o.hand(later)
	before := later.readies
	o.release()
	if later.readies != before+1 || d.readies != 1 || o.idle() {
		t.Errorf("%d and %d calls", d.readies, later.readies-before)
	}
	if got := o.take(later); len(got) != 1 || got[0] != f {
		t.Errorf("%d frames came", len(got))
	}
}
