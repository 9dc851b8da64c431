package conference

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/tracing"
)

const (
	// idleAfter is how long a conference without sockets stays in memory, roughly.
	idleAfter = 30 * time.Second
	// retryAfter is the pause after a snapshot could not be read.
	retryAfter = 500 * time.Millisecond
	// maxInterval is the longest pause between two pushes to a room.
	maxInterval = time.Second
	// What pushing to a room may take of one core. Content has a quarter of it, so that it is pushed at once wherever pushing is cheap.
	// People who come and go may wait a little longer, or a room that fills costs the square of its size; they wait for peopleInterval in any
	// case. When nobody has for as long as that, the number has come to rest, and is shown like content.
	contentShare   = 4
	peopleShare    = 16
	peopleInterval = 100 * time.Millisecond
)

// news is what kind of change a keeper is told of.
type news int

const (
	aboutPeople  news = 1 << iota // somebody came, went, or is there in another way
	aboutContent                  // a section, the members, the end of the conference
)

// keeper holds the newest snapshot of one conference on this node and pushes what is new to its room. At most one
// goroutine works for it, and only while something is to be done.
type keeper struct {
	house        *House
	conferenceID string

	wake chan struct{} // says to the work that waits that there is more news
	took *knownRow     // the work's: what was written when the running rebuild began

	causes causeList // of what is dirty, for traces

	mu      sync.Mutex // guards the rest
	dirty   news       // what changed since the running rebuild began
	written *knownRow  // what this node has written meanwhile, nil if that is not all the news
	running bool
	last    *snapshot     // nil until the first rebuild
	heard   time.Time     // when there was the last news
	pushed  time.Time     // when the last rebuild began
	cost    time.Duration // of the last push
	failed  bool          // it could not read the database
}

// keeperOf returns the keeper of a conference and makes one if there is none.
func (h *House) keeperOf(conferenceID string) *keeper {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.keepers[conferenceID]
	if k == nil {
		k = &keeper{house: h, conferenceID: conferenceID, wake: make(chan struct{}, 1)}
		h.keepers[conferenceID] = k
	}
	return k
}

// Show has the room of a conference, on all nodes, shown what was committed: content, or another list of members. It does not wait; ctx
// says whose work it is.
func (h *House) Show(ctx context.Context, conferenceID string) { h.show(ctx, conferenceID, nil) }

// show is Show for who knows what stands in the database now, unless it is nil: it need not be read again.
func (h *House) show(ctx context.Context, conferenceID string, written *knownRow) {
	if h.Tracer.On() {
		h.blame(conferenceID, tracing.CauseOf(ctx))
	}
	h.mark(conferenceID, aboutContent, written)
	h.Cluster.Wake(conferenceID, true)
}

// Woken is told by another node that it has changed a conference: its content, or only who is there. It does not block.
func (h *House) Woken(conferenceID string, content bool) {
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	switch {
	case k == nil && h.Hall.Occupancy(conferenceID) == 0: // that node keeps it
	case content:
		h.mark(conferenceID, aboutContent, nil)
	default:
		h.mark(conferenceID, aboutPeople, nil)
	}
}

// LookAgain has all open conferences compared with the database now: news of other nodes may have been lost. It does not block.
func (h *House) LookAgain() {
	select {
	case h.again <- struct{}{}:
	default:
	}
}

// pollAgain compares when it is asked to.
func (h *House) pollAgain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.again:
			h.Net.Call("look around", func() { h.poll(ctx) })
		}
	}
}

// mark says that a conference has changed: whoever is in its room is shown the newest committed state soon.
// A conference that is not in memory and has nobody here needs no look at its content: there is nobody to show it to. written is as for
// show.
func (h *House) mark(conferenceID string, what news, written *knownRow) {
	h.mu.Lock()
	known := h.keepers[conferenceID] != nil
	h.mu.Unlock()
	if known || what != aboutContent || h.Hall.Occupancy(conferenceID) > 0 {
		h.keeperOf(conferenceID).mark(what, written)
	}
}

func (k *keeper) mark(what news, written *knownRow) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.dirty == 0:
		k.written = written
	case written == nil || k.written != nil && written.Versions.Tree > k.written.Versions.Tree:
		k.written = written // once nil, it stays so: there was other news
	}
	k.dirty |= what
	k.heard = time.Now()
	if !k.running {
		k.running = k.house.working.Go(func() { k.house.Net.Call("keep a conference", k.work) })
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// remembered returns the content that the room of a conference was shown last, if it is in memory.
func (h *House) remembered(conferenceID string) content {
	h.mu.Lock()
	k := h.keepers[conferenceID]
	h.mu.Unlock()
	if k == nil {
		return content{}
	}
	if s := k.snapshot(); s != nil {
		return s.content
	}
	return content{}
}

func (k *keeper) hasFailed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// snapshot returns the newest one in memory, or nil.
func (k *keeper) snapshot() *snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

// work rebuilds and pushes until nothing is new. What changes meanwhile shares the next push.
func (k *keeper) work() {
	for more := true; more; {
		ok := k.house.Net.Call("keep a conference", func() {
			if more = k.begin(); more {
				k.renew()
			}
		})
		if !ok {
			more = k.startOver()
		}
	}
}

// renew reads what is new and pushes it.
func (k *keeper) renew() {
	start := time.Now()
	before, took := k.snapshot(), k.took
	k.took = nil
	ctx, span := k.trace()
	defer span.End()
	s, err := k.rebuild(ctx, before, took)
	if err != nil {
		span.Fail(err)
		if k.house.ctx.Err() == nil && !k.hasFailed() { // once, not with every try
			k.house.Log.Warn("could not read a conference, trying again", slog.String("conference", k.conferenceID), slog.Any("error", err))
		}
		k.finish(nil)
		return
	}
	k.house.metrics.rebuilds.Inc()
	k.house.metrics.rebuildSeconds.Observe(time.Since(start).Seconds())
	k.finish(s)
	span.Count(tracing.Version, s.versions.Tree)
	k.publish(ctx, before, s)
}

// startOver forgets the snapshot after a panic: nobody knows what of it the room has been shown. It waits for a moment
// and reports whether to go on.
func (k *keeper) startOver() bool {
	k.finish(nil)
	k.mu.Lock()
	k.last = nil
	k.mu.Unlock()
	select {
	case <-time.After(retryAfter):
		return true
	case <-k.house.ctx.Done():
		return false
	}
}

// begin waits until the next push may be and reports whether there is anything to do. If not, the work ends.
func (k *keeper) begin() bool {
	for {
		wait, ok := k.due()
		if !ok || wait <= 0 {
			return ok
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-k.wake: // what is new now may have less patience
		case <-k.house.ctx.Done():
		}
		t.Stop()
	}
}

// due returns how long to wait for the next push. At 0 the work has begun: what changes from then on may be missing in the snapshot, and
// is news again. ok is false if there is nothing to do.
func (k *keeper) due() (wait time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dirty == 0 || k.house.ctx.Err() != nil {
		k.running = false
		return 0, false
	}
	pause, atRest := k.house.interval(k.dirty, k.cost)
	if k.failed {
		pause, atRest = retryAfter, retryAfter
	}
	since, quiet := time.Since(k.pushed), time.Since(k.heard)
	wait = min(pause-since, max(atRest-since, peopleInterval-quiet))
	if wait <= 0 {
		k.took, k.written, k.dirty, k.pushed = k.written, nil, 0, time.Now()
	}
	return wait, true
}

// finish keeps s, or has the work tried again if it is nil.
func (k *keeper) finish(s *snapshot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed = s == nil
	if s == nil {
		k.dirty |= aboutContent | aboutPeople
		k.written = nil
		return
	}
	k.last = s
}

// spent notes for how long a core was busy with a push.
func (k *keeper) spent(cost time.Duration) {
	k.house.metrics.pushSeconds.Observe(cost.Seconds())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cost = cost
}

// interval returns the least time from the beginning of a push to that of the next, if that is for the given news and pushing has taken
// the given time: while there is more and more news, and when there was none for a moment.
func (h *House) interval(what news, cost time.Duration) (pause, atRest time.Duration) {
	content := min(contentShare*cost, maxInterval)
	switch {
	case h.PushMinInterval > 0:
		pause = min(h.PushMinInterval, maxInterval)
		return pause, pause
	case what&aboutContent != 0:
		return content, content
	}
	return min(max(peopleShare*cost, peopleInterval), maxInterval), max(content, peopleInterval)
}

// publish hands what is new to the room, and the number of people back to the tree row.
func (k *keeper) publish(ctx context.Context, before, s *snapshot) {
	h := k.house
	var tree *TreePush
	var roster *RosterPush
	if before == nil || before.versions.Tree < s.versions.Tree {
		tree = s.treePush(before)
		h.metrics.pushes.Inc()
	}
	if before == nil || before.versions.Roster < s.versions.Roster {
		roster = s.rosterPush(before)
	}
	if tree != nil || roster != nil {
		var users int
		_, span := h.Tracer.Start(ctx, "push")
		k.spent(busy(func() { users = h.Hall.Push(k.conferenceID, tree, roster) }))
		span.Count(tracing.Audience, int64(users))
		span.End()
		if tree != nil {
			h.logTree(before, s, users)
		}
	}
	if err := h.writeBack(ctx, s); err != nil && h.ctx.Err() == nil {
		h.Log.Warn("could not write the online number into head_data", slog.String("conference", k.conferenceID), slog.Any("error", err))
	}
}

// logTree appends a version that went out to so many users to the log.
func (h *House) logTree(before, s *snapshot, users int) {
	if h.LogTree == "off" || before == nil && h.Hall.Occupancy(s.conferenceID) == 0 {
		return
	}
	changed := s.changedSince(before)
	var message any = s.tree()
	if h.LogTree != "full" {
		message = struct {
			Version  int64    `json:"version"`
			Size     int      `json:"size"`
			Sections []string `json:"sections"`
		}{s.versions.Tree, len(s.tree()), changed}
	}
	text, err := rawjson.Encode(message)
	if err != nil {
		text = nil
	}
	h.Notices.AppendLater(notice.Entry{
		ConferenceID: s.conferenceID, Actor: "system", Event: "note_tree", SendType: systemSendType, Message: text,
		Audience: users, Sent: users, Online: s.roster.Online, State: "sent", CreatedAt: now(),
	})
}

// changedSince returns the names of the sections that say something else than in an earlier snapshot, nil for none.
func (s *snapshot) changedSince(before *snapshot) []string {
	if before == nil {
		before = &snapshot{roster: presence.Roster{Online: -1}}
	}
	changed := []string{}
	for i, sec := range sections {
		if differs(before.content, s.content, i) || i == head && before.roster.Online != s.roster.Online {
			changed = append(changed, sec.name)
		}
	}
	return changed
}

// systemSendType marks the log rows of the service itself.
const systemSendType = "1"

// poll marks the open conferences whose versions or tree rows differ from what is in memory: a wake-up was lost, or
// a backend wrote the row and did not say so.
func (h *House) poll(ctx context.Context) {
	open := map[string]*snapshot{}
	h.mu.Lock()
	for id, k := range h.keepers {
		open[id] = k.snapshot()
	}
	h.mu.Unlock()
	ids := make([]string, 0, len(open))
	for id, s := range open {
		if s == nil || h.Hall.Occupancy(id) == 0 {
			continue
		}
		ids = append(ids, id)
	}
	current, err := h.readStamps(ctx, ids)
	if err != nil {
		if ctx.Err() == nil {
			h.Log.Warn("could not compare versions with the database", slog.Any("error", err))
		}
		return
	}
	for _, id := range ids {
		s, c := open[id], current[id]
		if c.versions.Tree != s.versions.Tree || c.versions.Roster != s.versions.Roster || c.stamp != s.stamp {
			h.mark(id, aboutContent, nil)
		}
	}
}

// dropIdle lets go of conferences that nobody here is in.
func (h *House) dropIdle(context.Context) {
	h.mu.Lock()
	candidates := make([]*keeper, 0, len(h.keepers))
	for _, k := range h.keepers {
		candidates = append(candidates, k)
	}
	h.mu.Unlock()
	for _, k := range candidates {
		if h.Hall.Occupancy(k.conferenceID) > 0 {
			continue
		}
		h.mu.Lock()
		k.mu.Lock()
		if !k.running && k.dirty == 0 && time.Since(k.pushed) > idleAfter {
			delete(h.keepers, k.conferenceID)
		}
		k.mu.Unlock()
		h.mu.Unlock()
	}
}

// stamp is what poll compares.
type stamp struct {
	versions presence.Versions
	stamp    string
}
