package rest

import (
	"strconv"
	"strings"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// TestTree: sections are merged, replaced and read, every digit survives, and the log names who changed what.
func TestTree(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/tree"
		r := b.must(200, "GET", path, "")
		if r.fields["headData"].(map[string]any)["onLineNumber"] != 0.0 {
			t.Errorf("the tree of nobody: %s", r.Body)
		}
		r = b.must(200, "PATCH", path, `{"conferenceInfo":{"id":9223372036854775807,"n":1.10,"a":{"b":1,"c":null}},"topicInfo":[1,null]}`, "Content-Type", "application/merge-patch+json")
		if got := r.fields["changed"].([]any); len(got) != 2 || r.fields["conferenceId"] != "42" {
			t.Errorf("patch: %s", r.Body)
		}
		b.must(200, "POST", path, `{"conferenceInfo":{"a":{"b":null,"d":"<&>"}},"topicInfo":null}`)
		b.must(200, "PUT", path+"/timer", `{"endsAt":null}`)
		b.must(200, "PUT", path+"/conferenceStatus", `"1"`)
		tree := b.must(200, "GET", path, "").Body.String()
		for _, part := range []string{`"id":9223372036854775807`, `"n":1.10`, `"a":{"d":"<&>"}`, `"timer":{"endsAt":null}`, `"conferenceStatus":"1"`} {
			if !strings.Contains(tree, part) {
				t.Errorf("the tree lacks %s: %s", part, tree)
			}
		}
		if strings.Contains(tree, "topicInfo") {
			t.Errorf("a section that was taken out is there: %s", tree)
		}
		if r = b.must(200, "PUT", path+"/timer", `{"endsAt":null}`); len(r.fields["changed"].([]any)) != 0 {
			t.Errorf("an edit that changes nothing: %s", r.Body)
		}
		if rows := b.logged("audit"); len(rows) != 4 {
			t.Errorf("%d rows about 4 edits: %v", len(rows), rows)
		}
	})
}

// TestETag: a tree that is known need not be sent, and an edit may insist on the version that it was made for.
func TestETag(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		const path = "/conferences/42/tree"
		b.must(200, "PATCH", path, `{"topicInfo":1}`)
		r := b.must(200, "GET", path, "")
		tag := r.Header().Get("ETag")
		if tag != `"`+strconv.Itoa(int(r.fields["version"].(float64)))+`"` {
			t.Fatalf("ETag %s of %s", tag, r.Body)
		}
		for _, list := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			if r := b.must(304, "GET", path, "", "If-None-Match", list); r.Body.Len() != 0 || r.Header().Get("ETag") != tag {
				t.Errorf("304 for %s: %v %s", list, r.Header(), r.Body)
			}
		}
		b.arrive("7", "Ann") // raises the version, but changes no section
		b.must(200, "GET", path, "", "If-None-Match", tag)
		b.must(200, "PATCH", path, `{"topicInfo":2}`, "If-Match", tag)
		b.refused("412 version_mismatch", "PATCH", path, `{"topicInfo":3}`, "If-Match", tag)
		b.refused("412 version_mismatch", "PUT", path+"/topicInfo", `3`, "If-Match", tag)
		b.must(200, "POST", path, `{"topicInfo":3}`, "If-Match", "*")
	})
}

// TestPushTree: a backend that writes the row itself calls push, and what it wrote is in the tree.
func TestPushTree(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := open(t, db)
		before := b.must(200, "GET", "/conferences/42/tree", "").fields["version"].(float64)
		write(t, db, func(tx *gorm.DB) error {
			return tx.Exec("INSERT INTO conference_nodes (conference_id, topic_content) VALUES ('42', ?)", "{\"a\":\"tab\there\"}").Error
		})
		r := b.must(200, "POST", "/conferences/42/tree/push", "", "Idempotency-Key", "k")
		if r.fields["version"].(float64) <= before {
			t.Errorf("version %v after %v", r.fields["version"], before)
		}
		storetest.Eventually(t, func() bool { return b.hall.heard("tree 42") > 0 }, "the tree was pushed")
		if tree := b.must(200, "GET", "/conferences/42/tree", ""); !strings.Contains(tree.Body.String(), `tab\u0009here`) {
			t.Errorf("tree: %s", tree.Body)
		}
	})
}
