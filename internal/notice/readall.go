package notice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// markLag is how far a mark stays behind: a notice may be committed, or a clock of another node be, this much late
// without being read unseen.
const markLag = int64(time.Minute / time.Millisecond)

// SettleAll marks all that the user has not read, or not acknowledged, as that: of a category, "" being every one, and
// of what the view shows. by says which of the two (its State is Read or Acked), when, and by which socket. It returns
// how many there were, also with an error. Of notices to all, only those that must be acknowledged are. Much of it is
// done in several transactions, unless ctx carries one; it may be done again. tell, unless nil, is called within each
// of them with what was news; by a mark, nothing is.
func (n *Notices) SettleAll(ctx context.Context, v View, category string, by Settlement, tell func(ctx context.Context, news []Settlement) error) (changed int, err error) {
	if by.State != Acked && by.State != Read {
		return 0, fmt.Errorf("%w: %q", errNoState, by.State)
	}
	if err := checkCategory(category); err != nil {
		return 0, err
	}
	todo, err := n.unsettled(ctx, v, by.State, category)
	if err != nil {
		return 0, fmt.Errorf("settle an inbox: %w", err)
	}
	if todo.marked > 0 {
		if err := n.raiseMark(ctx, markRow{v.UserID, category, todo.upto}); err != nil {
			return 0, fmt.Errorf("settle an inbox: %w", err)
		}
		changed = todo.marked
	}
	slices.Sort(todo.ids) // as everybody locks them
	for part := range slices.Chunk(todo.ids, rowBatch) {
		list := make([]Settlement, len(part))
		for i, noticeID := range part {
			list[i] = by
			list[i].NoticeID, list[i].UserID = noticeID, v.UserID
		}
		news := 0
		err := n.db.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
			settled, err := n.Settle(ctx, list)
			if news = len(settled); err == nil && tell != nil {
				err = tell(ctx, settled)
			}
			return err
		})
		if err != nil {
			return changed, fmt.Errorf("settle an inbox: %w", err)
		}
		changed += news
	}
	return changed, nil
}

// unsettled is what SettleAll has to do: to raise the mark to upto, by which so many are read, and to settle ids.
type unsettled struct {
	upto   int64
	marked int
	ids    []string
}

func (n *Notices) unsettled(ctx context.Context, v View, state, category string) (todo unsettled, err error) {
	err = n.in(ctx, v, func(r *reading) error {
		todo = unsettled{}
		if state == Acked {
			found, err := r.list(want{category: category, unacked: true, live: true})
			for _, l := range found {
				if !l.ToAll || l.RequireAck {
					todo.ids = append(todo.ids, l.ID)
				}
			}
			return err
		}
		found, err := r.list(want{category: category, unread: true})
		if err != nil {
			return err
		}
		if todo.upto, err = r.highest(category, found); err != nil {
			return err
		}
		for _, l := range found {
			if l.ToAll && l.SentAt <= todo.upto {
				todo.marked++
			} else {
				todo.ids = append(todo.ids, l.ID)
			}
		}
		return nil
	})
	return todo, err
}

// highest returns how far a mark may go so that it reads nothing but what is shown: a mark knows no views.
func (r *reading) highest(category string, shown []listed) (int64, error) {
	upto := r.now - markLag
	if r.view.Whole {
		return upto, nil
	}
	whole := *r
	whole.view.Whole = true
	all, err := whole.list(want{category: category, unread: true})
	if err != nil {
		return 0, err
	}
	visible := make(map[string]bool, len(shown))
	for _, l := range shown {
		visible[l.ID] = true
	}
	for _, l := range all {
		if l.ToAll && !visible[l.ID] {
			upto = min(upto, l.SentAt-1)
		}
	}
	return upto, nil
}

// raiseMark never lowers one.
func (n *Notices) raiseMark(ctx context.Context, m markRow) error {
	return n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "user_id"}, {Name: "category"}},
			DoUpdates: []clause.Assignment{{
				Column: clause.Column{Name: "read_upto"},
				Value:  gorm.Expr("CASE WHEN notice_marks.read_upto < ? THEN ? ELSE notice_marks.read_upto END", m.ReadUpto, m.ReadUpto),
			}},
		}).Create(&m).Error
	})
}
