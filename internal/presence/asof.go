package presence

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"
)

// RosterAt returns what Roster would have told at a moment, in milliseconds since 1970, as the session rows know it
// now: a user whose node died was lost at its last heartbeat, and one who was kicked while reconnecting went at the end of
// his grace. Members and names are those of today, Versions are zero. At a moment that is still to come it tells of
// now. At most limit users are listed. It joins the snapshot or transaction of ctx.
func (p *Presence) RosterAt(ctx context.Context, conferenceID string, at int64, limit int) (r Roster, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		r = Roster{}
		var now int64
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		at := min(at, now)
		courses, err := readCourses(tx, conferenceID, at, p.cfg.Grace.Milliseconds(), func(s *sessionRow) { s.rewind(at) })
		if err != nil {
			return err
		}
		people, err := listPeople(tx, conferenceID, courses)
		if err != nil {
			return err
		}
		r.fill(people, at, limit)
		return nil
	})
	if err != nil {
		return Roster{}, fmt.Errorf("read roster of the past: %w", err)
	}
	return r, nil
}

// rewind opens a session again that was open at a moment.
func (r *sessionRow) rewind(at int64) {
	if r.ClosedAt != nil && *r.ClosedAt > at {
		r.ClosedAt, r.Reason = nil, ""
	}
}

// fill counts everybody who was there or should have been, and lists the first of them.
func (r *Roster) fill(people []person, at int64, limit int) {
	var members, guests []Entry
	arrived := map[string]int64{}
	for _, w := range people {
		e, came := w.at(at)
		switch {
		case w.member && bool(w.Excused):
			r.Excused++
		case w.member:
			r.Expected++
		}
		if e.State.here() {
			r.Online++
		}
		switch {
		case w.member:
			members = append(members, e)
		case e.State.here():
			guests, arrived[e.UserID] = append(guests, e), came
		}
	}
	slices.SortFunc(guests, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(arrived[a.UserID], arrived[b.UserID]), cmp.Compare(a.UserID, b.UserID))
	})
	r.Users = append(members, guests...)
	if r.More = len(r.Users) > limit; r.More {
		r.Users = r.Users[:limit]
	}
}

// at returns what was to be said of somebody at a moment behind which nothing is known of him, and when he had come.
func (w person) at(at int64) (e Entry, came int64) {
	e = Entry{UserID: w.UserID, UserName: w.name(), Role: w.role(w.member), Attrs: attributes(w.Attrs), State: Absent, Member: w.member, Excused: bool(w.Excused)}
	if w.Excused {
		e.State = Excused
	}
	if w.course == nil {
		return e, 0
	}
	last := w.course.intervals[len(w.course.intervals)-1]
	switch due := w.course.due(last); {
	case last.To == 0:
		e.State, e.Since, e.Devices = Online, w.course.since, w.course.open
	case at < due:
		e.State, e.Since = Reconnecting, last.To
	default:
		e.Since = due
	}
	return e, last.From
}
