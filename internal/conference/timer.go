package conference

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
	"rollcall/internal/webhook"
)

// Timed is the answer to a timer command: the tree's version with it, and the section timer as it is now.
type Timed struct {
	Version int64
	Timer   json.RawMessage
}

// timerRow is a timer that runs by our command. A section in which a backend says running has none: nobody finishes it.
type timerRow struct {
	ConferenceID string `gorm:"column:conference_id;primaryKey"`
	EndsAt       int64  `gorm:"column:ends_at"`
}

// TableName implements gorm's Tabler.
func (timerRow) TableName() string { return "conference_timers" }

// Timer gives a command to the timer of a conference: start (for durationMs, from any state but running and paused),
// pause, resume, extend (by durationMs, which must be positive), or reset (to idle, with all its time again). It is
// finished at its end by whichever node comes first. durationMs is 1 ms to 7 days, else Invalid, and needed by start and
// extend alone. A command that does not fit the state is a Conflict fault, as is a section timer that is not an object.
func (h *House) Timer(ctx context.Context, conferenceID, action string, durationMs *int64) (Timed, error) {
	by, err := timerInput(action, durationMs)
	if err != nil {
		return Timed{}, err
	}
	var done Timed
	err = h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		done = Timed{}
		if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		now, err := h.DB.Now(ctx)
		if err != nil {
			return err
		}
		if err := h.finish(ctx, tx, conferenceID, now); err != nil { // the end comes before the command, if both are due
			return err
		}
		d, err := h.draft(ctx, tx, conferenceID)
		if err != nil {
			return err
		}
		before, err := readTimer(d.after)
		if err != nil {
			return err
		}
		after, err := before.obey(action, by, now)
		if err != nil {
			return err
		}
		d.after.text[timerSection] = after.section(d.after.text[timerSection])
		if err := h.fits(d); err != nil {
			return err
		}
		saved, err := h.save(ctx, tx, d)
		if err != nil {
			return err
		}
		done = Timed{saved.Version, d.after.text[timerSection]}
		return h.plan(ctx, tx, conferenceID, after)
	})
	return done, err
}

func timerInput(action string, durationMs *int64) (by int64, err error) {
	switch action {
	case "pause", "resume", "reset":
		return 0, nil
	case "start", "extend":
	default:
		return 0, fault.Invalidf("action must be start, pause, resume, extend or reset")
	}
	if durationMs == nil || *durationMs < 1 || *durationMs > maxTimer {
		return 0, fault.Invalidf("durationMs must be 1 to %d", maxTimer)
	}
	return *durationMs, nil
}

// plan writes when a running timer ends, or that none runs.
func (h *House) plan(ctx context.Context, tx *gorm.DB, conferenceID string, t timer) error {
	if t.state != running {
		return dropTimer(tx, conferenceID)
	}
	row := timerRow{conferenceID, t.endsAt}
	replace := clause.OnConflict{Columns: []clause.Column{{Name: "conference_id"}}, DoUpdates: clause.AssignmentColumns([]string{"ends_at"})}
	if err := tx.Clauses(replace).Create(&row).Error; err != nil {
		return fmt.Errorf("plan end of timer: %w", err)
	}
	store.AfterCommit(ctx, h.timers.look)
	return nil
}

func dropTimer(tx *gorm.DB, conferenceID string) error {
	if err := tx.Where("conference_id = ?", conferenceID).Delete(&timerRow{}).Error; err != nil {
		return fmt.Errorf("drop timer: %w", err)
	}
	return nil
}

// timerDue finishes the timer of a conference, if it is still due.
func (h *House) timerDue(ctx context.Context, conferenceID string) error {
	return h.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if _, err := presence.Lock(ctx, tx, []string{conferenceID}); err != nil {
			return err
		}
		now, err := h.DB.Now(ctx)
		if err != nil {
			return err
		}
		return h.finish(ctx, tx, conferenceID, now)
	})
}

// finish ends a timer whose time is over. tx holds the lock of the conference, so that of several nodes one finds the
// row. If somebody has written another section meanwhile, the row goes without a word.
func (h *House) finish(ctx context.Context, tx *gorm.DB, conferenceID string, now int64) error {
	var row timerRow
	err := tx.Where("conference_id = ? AND ends_at <= ?", conferenceID, now).Take(&row).Error
	if store.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read timer: %w", err)
	}
	if err := dropTimer(tx, conferenceID); err != nil {
		return err
	}
	d, err := h.draft(ctx, tx, conferenceID)
	if err == ErrEnded { //nolint:errorlint // draft returns it as it is
		return nil
	}
	if err != nil {
		return err
	}
	t, err := readTimer(d.after)
	if err != nil || t.state != running || t.endsAt != row.EndsAt {
		return nil //nolint:nilerr // a section that is not ours is no error of this timer
	}
	t.state, t.remainingMs = finished, 0
	d.after.text[timerSection] = t.section(d.after.text[timerSection])
	if _, err := h.save(ctx, tx, d); err != nil {
		return err
	}
	store.AfterCommit(ctx, h.metrics.timers.Inc)
	if err := h.tellAt(ctx, conferenceID, "timer_finished", row.EndsAt); err != nil {
		return err
	}
	return h.Webhooks.Append(ctx, []webhook.Event{{Type: "timer.finished", ConferenceID: conferenceID, At: row.EndsAt, Data: map[string]any{"durationMs": t.durationMs}}})
}

// halt stops a timer because its conference ends: what is left of it stays to be seen. tx holds the lock.
func (h *House) halt(ctx context.Context, tx *gorm.DB, conferenceID string) error {
	now, err := h.DB.Now(ctx)
	if err != nil {
		return err
	}
	if err := h.finish(ctx, tx, conferenceID, now); err != nil {
		return err
	}
	if err := dropTimer(tx, conferenceID); err != nil {
		return err
	}
	d, err := h.draft(ctx, tx, conferenceID)
	if err != nil {
		return err
	}
	t, err := readTimer(d.after)
	if err == nil {
		t, err = t.obey("pause", 0, now)
	}
	if err != nil {
		return nil //nolint:nilerr // no timer that could be stopped
	}
	d.after.text[timerSection] = t.section(d.after.text[timerSection])
	_, err = h.save(ctx, tx, d)
	return err
}

// tellAt tells the room of a conference, once the transaction of ctx is committed, that something happened to it at a time.
func (h *House) tellAt(ctx context.Context, conferenceID, event string, at int64) error {
	payload, err := rawjson.Encode(struct {
		ConferenceID string `json:"conferenceId"`
		At           int64  `json:"at"`
	}{conferenceID, at})
	if err != nil {
		return fmt.Errorf("encode %s: %w", event, err)
	}
	return h.Cluster.Emit(ctx, hall.Audience{All: true, ConferenceID: conferenceID}, event, payload)
}

// maxTimer is the longest time that a timer may have, in milliseconds.
const maxTimer = int64(7 * 24 * time.Hour / time.Millisecond)
