package presence

import (
	"cmp"
	"context"
	"fmt"

	"gorm.io/gorm"
)

// Attendee is somebody who was in a conference, or should have been.
type Attendee struct {
	UserID    string
	UserName  string     // of the users table, else of the members list, else of his last session
	Intervals []Interval // in the order of time; empty for a member who never came
	TotalMs   int64      // sum of the intervals, one that has no end counted up to now
}

// Attendance returns who was in a conference when: members in the order of their list, then others in the order of
// their first arrival. A user who came back within the grace after a loss was there all along. Until 0 is now; of a
// conference that ended it is the moment when it did, and cuts what reaches beyond it. When a node dies its sessions end
// with its last heartbeat, so an end is wrong by one heartbeat interval at most. Sessions older than the retention are
// not known any more. It joins the snapshot or transaction of ctx.
func (p *Presence) Attendance(ctx context.Context, conferenceID string, until int64) (out []Attendee, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		var now int64
		if err := tx.Raw("SELECT " + clock(tx)).Scan(&now).Error; err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		upTo := everAfter
		if until != 0 {
			upTo = until - 1
		}
		courses, err := readCourses(tx, conferenceID, upTo, p.cfg.Grace.Milliseconds(), func(s *sessionRow) { s.cut(until) })
		if err != nil {
			return err
		}
		people, err := listPeople(tx, conferenceID, courses)
		if err != nil {
			return err
		}
		out = make([]Attendee, len(people))
		for i, who := range people {
			out[i] = who.attendee(now)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read attendance: %w", err)
	}
	return out, nil
}

// everAfter is a time, in milliseconds, that no clock reaches.
const everAfter = int64(1) << 62

// cut ends a session with its conference; 0: the conference has not ended.
func (r *sessionRow) cut(until int64) {
	if until != 0 && (r.ClosedAt == nil || *r.ClosedAt > until) {
		r.ClosedAt, r.Reason = &until, Ended
	}
}

// person is a member or a guest of a conference, and what his sessions tell, nil when he has none.
type person struct {
	entryRow
	member bool
	course *course
}

func (w person) attendee(now int64) Attendee {
	a := Attendee{UserID: w.UserID, UserName: w.name()}
	if w.course == nil {
		return a
	}
	a.Intervals = w.course.intervals
	for _, i := range a.Intervals {
		a.TotalMs += max(0, cmp.Or(i.To, now)-i.From)
	}
	return a
}

func (w person) name() string {
	said := ""
	if w.course != nil {
		said = w.course.name
	}
	return cmp.Or(w.UsersName, w.MemberName, said)
}

// listPeople puts members, in the order of their list, before the others, who keep theirs.
func listPeople(tx *gorm.DB, conf string, courses []*course) ([]person, error) {
	members, err := listing{conf: conf}.members(tx, everybody)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(courses))
	of := make(map[string]*course, len(courses))
	for i, c := range courses {
		ids[i], of[c.user] = c.user, c
	}
	people := make([]person, 0, len(members)+len(courses))
	for _, m := range members {
		people = append(people, person{entryRow: m, member: true, course: of[m.UserID]})
		delete(of, m.UserID)
	}
	names, err := registered(tx, ids)
	if err != nil {
		return nil, err
	}
	for _, c := range courses {
		if of[c.user] != nil {
			people = append(people, person{entryRow: entryRow{UserID: c.user, UsersName: names[c.user]}, course: c})
		}
	}
	return people, nil
}
