package conference

import (
	"context"
	"sync"

	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/notice"
)

const (
	// outsideQueue is how many announcements may wait to be told outside. Beyond it they are dropped: the room has
	// been told, and who asks the roster knows.
	outsideQueue = 1000
	// outsideWorkers lets a slow backend of one conference not keep all others waiting.
	outsideWorkers = 4
)

// outside tells members who sit in no conference who comes and goes in theirs. Only the backend knows who they are,
// so somebody has to wait for it, and that is not the crier.
type outside struct {
	house *House
	queue chan notice.Announcement
}

func newOutside(h *House) *outside {
	return &outside{house: h, queue: make(chan notice.Announcement, outsideQueue)}
}

// tell has an announcement told outside. It does not block.
func (o *outside) tell(a notice.Announcement) {
	if o.house.MembersURL == "" {
		return
	}
	select {
	case o.queue <- a:
	default:
	}
}

// run tells until ctx ends.
func (o *outside) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range outsideWorkers {
		workers.Go(func() { o.house.Net.Call("tell members outside", func() { o.work(ctx) }) })
	}
	workers.Wait()
}

func (o *outside) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-o.queue:
			o.house.Net.Call("tell members outside", func() { o.emit(ctx, a) })
		}
	}
}

func (o *outside) emit(ctx context.Context, a notice.Announcement) {
	h := o.house
	var own []string
	err := h.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) (err error) {
		own, err = registered(tx, a.ConferenceID, 1)
		return err
	})
	if err != nil || len(own) > 0 {
		return
	}
	users, err := h.asked.members(ctx, a.ConferenceID, a.UserID)
	if err != nil || len(users) == 0 {
		return
	}
	to := hall.Audience{Users: users}
	away, err := h.Presence.Elsewhere(ctx, to)
	if err != nil {
		h.note("look for members on other nodes", err)
	}
	var sessions []string
	for _, s := range append(h.Hall.Find(to), away...) {
		if s.ConferenceID == "" && s.UserID != a.UserID && s.SessionID != "" {
			sessions = append(sessions, s.SessionID)
		}
	}
	if len(sessions) > 0 {
		h.note("tell members outside", h.Cluster.Emit(ctx, hall.Audience{Sessions: sessions}, a.Event, a.Message))
	}
}
