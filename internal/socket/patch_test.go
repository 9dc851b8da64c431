package socket

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/conference"
	"rollcall/internal/rawjson"
)

// follower keeps a tree as a client with tree=patch does.
type follower struct {
	*webSocketClient
	version  int64
	sections map[string]json.RawMessage
	patched  int // how many patches were applied
}

// upTo reads what comes until the tree is at a version or later.
func (f *follower) upTo(version int64) {
	f.t.Helper()
	for f.version < version {
		switch name, args, _ := parse(f.read()); name {
		case "note_tree":
			f.version, f.sections = readTree(f.t, args[0])
		case "note_tree_patch":
			f.apply(args[0])
		}
	}
}

func (f *follower) apply(arg json.RawMessage) {
	f.t.Helper()
	var p struct {
		ConferenceID         string
		From, To, ServerTime int64
		Patch                json.RawMessage
	}
	if err := json.Unmarshal(arg, &p); err != nil || p.ConferenceID != "42" || p.ServerTime == 0 || p.From != f.version || p.To <= p.From {
		f.t.Fatalf("at version %d came %s, %v", f.version, arg, err)
	}
	whole, err := rawjson.Encode(f.sections)
	if err != nil {
		f.t.Fatal(err)
	}
	merged, err := rawjson.Merge(whole, p.Patch)
	if err != nil {
		f.t.Fatal(err)
	}
	f.version, f.sections, f.patched = p.To, nil, f.patched+1
	if err := json.Unmarshal(merged, &f.sections); err != nil {
		f.t.Fatal(err)
	}
}

// readTree takes a tree apart into its version and its sections.
func readTree(t testing.TB, tree json.RawMessage) (version int64, sections map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(tree, &sections); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(sections["version"], &version); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(sections, func(name string, _ json.RawMessage) bool {
		return name == "version" || name == "serverTime" || name == "conferenceId"
	})
	return version, sections
}

// same reports whether two lots of sections say the same.
func same(t testing.TB, a, b map[string]json.RawMessage) bool {
	t.Helper()
	var values [2]any
	for i, sections := range []map[string]json.RawMessage{a, b} {
		text, err := rawjson.Encode(sections)
		if err == nil {
			err = json.Unmarshal(text, &values[i])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

// Whoever asked for patches has, at every version, the tree that the others were given.
func TestPatchesMakeTheTree(t *testing.T) {
	o := open(t, nil)
	whole := &follower{webSocketClient: o.enter(t, "EIO=4&userId=anna&conferenceId=42&tree=full")}
	lean := &follower{webSocketClient: o.enter(t, "EIO=4&userId=ben&conferenceId=42&tree=patch")}
	values := []string{`1`, `"x"`, `{}`, `{"b":1}`, `{"b":{"c":[null,{"d":null}]}}`, `[{"e":null}]`, `null`, `{"n":12345678901234567890}`, `{"b":null}`}
	fulls, edits := 0, 0
	for range 60 {
		edit := func() (conference.Edited, error) {
			if rand.IntN(3) == 0 { // which may put a null into the tree
				return o.house.PutSection(t.Context(), "42", "topicInfo", json.RawMessage(values[rand.IntN(len(values))]), nil)
			}
			part := fmt.Sprintf(`{%q:{"k%d":%s}}`, []string{"topicInfo", "conferenceInfo"}[rand.IntN(2)], rand.IntN(3), values[rand.IntN(len(values))])
			return o.house.Patch(t.Context(), "42", json.RawMessage(part), nil)
		}
		done, err := edit()
		if err != nil {
			t.Fatal(err)
		}
		edits++
		patched := lean.patched
		whole.upTo(done.Version)
		if lean.upTo(done.Version); lean.patched == patched {
			fulls++
		}
		if whole.version == lean.version && !same(t, whole.sections, lean.sections) {
			t.Fatalf("at version %d the patches make %s, and it is %s", lean.version, lean.sections, whole.sections)
		}
	}
	if whole.patched > 0 || lean.patched == 0 {
		t.Errorf("%d patches came to who wants none, %d to who wants them", whole.patched, lean.patched)
	}
	t.Logf("%d edits, %d patches, %d times the whole tree", edits, lean.patched, fulls)
}

// Somebody who comes or goes is a matter of a few bytes, however large the tree is.
func TestPatchesAreShort(t *testing.T) {
	o := open(t, nil)
	pad := strings.Repeat("x", 16<<10)
	if _, err := o.house.Patch(t.Context(), "42", json.RawMessage(`{"topicInfo":{"text":"`+pad+`"},"timer":{"remaining":1}}`), nil); err != nil {
		t.Fatal(err)
	}
	c := o.dial(t, "EIO=4&userId=ben&conferenceId=42&tree=patch")
	c.write("40")
	if first := c.event("note_tree"); len(first) < len(pad) { // which may come before anything that enter waits for
		t.Fatalf("the first tree is %s", first)
	}
	o.enter(t, "EIO=4&userId=anna&conferenceId=42")
	came := c.event("note_tree_patch")
	if !strings.Contains(string(came), `"patch":{"headData":{"onLineNumber":2}}}`) || len(came) > 2*len(pad)/100 {
		t.Errorf("somebody came: %s", came)
	}
	if _, err := o.house.Patch(t.Context(), "42", json.RawMessage(`{"timer":{"remaining":2}}`), nil); err != nil {
		t.Fatal(err)
	}
	if ticked := c.event("note_tree_patch"); !strings.Contains(string(ticked), `"patch":{"timer":{"remaining":2}}}`) {
		t.Errorf("the timer: %s", ticked)
	}
	// What is left is shorter than saying what has gone.
	if _, err := o.house.Patch(t.Context(), "42", json.RawMessage(`{"topicInfo":null,"timer":null}`), nil); err != nil {
		t.Fatal(err)
	}
	c.event("note_tree")
}
