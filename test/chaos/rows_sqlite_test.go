package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/internal/servertest"
	"rollcall/internal/storetest"
)

// Many write at the same time to a node with SQLite, which is killed now and then in the middle of it. What was answered for is in the
// file, the file is whole, and nobody ever hears of a lock.
func TestSQLite(t *testing.T) {
	beside(t)
	c := begin(t, storesSection, "SQLite: parallel writers, kill -9 while writing")
	file := filepath.Join(t.TempDir(), "rollcall.db")
	besides := opens(t, "sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)") // the owner, which is allowed
	town := found(c, 1, func(*paces) settings { return settings{"database.driver": "sqlite", "database.dsn": file} })
	n := town.nodes[0]
	town.pool = besides
	people := town.gathers("p", storetest.Size(100, 20), visit{returns: true})
	callers := town.callersFor(people[:4].users(), true)
	trees := &treeWriter{node: n, room: "room-0"}
	stop := again(time.Millisecond, trees.write)(town)
	kills, broken := storetest.Size(20, 3), 0
	for i := range kills {
		before := callers.count()
		town.eventually(20*time.Second, "notices are taken", func() bool { return callers.count() >= before+3*callersAtOnce })
		town.pause(time.Duration(1+i%7) * 20 * time.Millisecond)
		n.kill()
		n.start()
		if !town.whole() {
			broken++
		}
	}
	stop()
	callers.end()
	taken := callers.count()
	town.eventually(20*time.Second, "everybody is back", func() bool { return people.in() == len(people) })
	town.settles(20 * time.Second)

	c.none(kills, broken, "files that PRAGMA integrity_check complains of:")
	lost, doubled := callers.stored()
	c.none(taken, lost, "notices lost:")
	c.none(taken, doubled, "doubled ids:")
	c.says(trees.written, "written trees that are gone 0", fmt.Sprint(trees.gone()), trees.written > 0 && trees.gone() == 0)
	odd, what := callers.strange()
	c.says(taken+trees.written, "answers beside 2xx, 409 and 503 with Retry-After 0", fmt.Sprintf("%d%s%s", odd+len(trees.odd), what, first3(trees.odd)), odd+len(trees.odd) == 0)
	locked := strings.Count(n.log.String(), "is locked") + strings.Count(what, "is locked")
	c.none(taken+trees.written, locked, `"database is locked" to users or in the log:`)
	c.within(taken, "the slowest answer", callers.slowest, 6*time.Second)
}

// whole reports whether SQLite finds nothing wrong with the file.
func (town *town) whole() bool {
	town.t.Helper()
	said := strings.Join(town.column("PRAGMA integrity_check"), "; ")
	if said != "ok" {
		town.progress("integrity_check: %.300s", said)
	}
	return said == "ok"
}

// treeWriter counts up a section of a tree. It belongs to one goroutine until that has ended.
type treeWriter struct {
	node    *node
	room    string
	written int // the last number that was answered for
	odd     []error
}

func (w *treeWriter) write(context.Context) {
	next := w.written + 1
	ctx, cancel := context.WithTimeout(w.node.ctx, callersPatience)
	defer cancel()
	a, err := servertest.Call(ctx, "PATCH", w.node.base+"/api/v1/conferences/"+w.room+"/tree", map[string]any{"topicInfo": map[string]any{"n": next}})
	switch {
	case err == nil && a.Status < 300:
		w.written = next
	case err == nil && !(a.Status == http.StatusServiceUnavailable && waitsFor(a.Header)):
		w.odd = append(w.odd, fmt.Errorf("%d %.200s", a.Status, a.Body))
	}
}

// gone returns how many numbers the tree is behind what was answered for. One ahead is what was killed before its answer.
func (w *treeWriter) gone() int {
	w.node.t.Helper()
	var tree struct{ TopicInfo struct{ N int } }
	if err := w.node.get(w.node.ctx, "/api/v1/conferences/"+w.room+"/tree", &tree); err != nil {
		w.node.t.Fatal(err)
	}
	return max(0, w.written-tree.TopicInfo.N)
}
