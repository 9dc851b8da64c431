package notice

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// HistoryQuery says which deliveries are wanted. Times are milliseconds since 1970.
type HistoryQuery struct {
	UserID       string
	ConferenceID string // with what belongs to no conference; "" is everything
	From, To     int64  // first and last moment in which a notice was made; 0 does not restrict
	Limit        int    // the newest so many, 1 to 1000; 0 is 50
}

// Delivered is a notice, and what became of it for one user. Times are milliseconds since 1970, 0 for never.
type Delivered struct {
	NoticeID, Event, Category, ConferenceID string
	CreatedAt                               int64
	Stored                                  bool // it is in an inbox
	ToAll                                   bool
	State                                   string // as Delivery.State; "" of a notice to all when nothing is noted of the user
	At                                      int64  // when State began
	AckedAt, ReadAt                         int64
	SessionID, ClientType, DeviceID, IP     string // of the socket that State is about, if there is one
}

// historyMax is the largest Limit of DeliveriesOf.
const historyMax = 1000

// DeliveriesOf returns what became of notices for a user, the newest of them in the order in which they were made.
// Notices to all from which he is not excepted are among them.
func (n *Notices) DeliveriesOf(ctx context.Context, q HistoryQuery) ([]Delivered, error) {
	if q.Limit <= 0 {
		q.Limit = defaultPage
	}
	q.Limit = min(q.Limit, historyMax)
	var out []Delivered
	err := n.db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		mine, err := q.mine(tx)
		if err != nil {
			return err
		}
		general, err := q.general(tx)
		out = append(mine, general...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read deliveries of user: %w", err)
	}
	slices.SortFunc(out, func(a, b Delivered) int { return cmp.Compare(a.NoticeID, b.NoticeID) })
	return out[max(0, len(out)-q.Limit):], nil
}

// historyRow is a notice joined with the delivery of one user.
type historyRow struct {
	Delivered
	NoticeState string
	ExceptUsers *string
}

const historyColumns = "n.id AS notice_id, n.event, n.category, n.conference_id, n.created_at, n.stored, n.to_all, n.state AS notice_state"

// mine finds the deliveries that have a row. The index to use and the order of tables are told as in walk.from.
func (q HistoryQuery) mine(tx *gorm.DB) ([]Delivered, error) {
	from, join := "notice_deliveries AS d", "CROSS JOIN"
	if tx.Name() == store.MySQL {
		from, join = from+" FORCE INDEX (notice_deliveries_user)", "STRAIGHT_JOIN"
	}
	var rows []historyRow
	err := q.within(tx.Table(from).Joins(join+" notices AS n ON n.id = d.notice_id").Where("d.user_id = ?", q.UserID), "d.notice_id").
		Select(historyColumns + `, d.state, d.at, COALESCE(d.acked_at, 0) AS acked_at, COALESCE(d.read_at, 0) AS read_at,
			d.session_id, d.client_type, d.device_id, d.ip`).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	out := make([]Delivered, len(rows))
	for i, r := range rows {
		out[i] = r.Delivered
	}
	return out, nil
}

// general finds the notices to all of which no row says what became of them for the user.
func (q HistoryQuery) general(tx *gorm.DB) ([]Delivered, error) {
	from := "notices AS n"
	if tx.Name() == store.MySQL {
		from += " FORCE INDEX (notices_all)"
	}
	none := "NOT EXISTS (SELECT 1 FROM notice_deliveries d WHERE d.notice_id = n.id AND d.user_id = ?)"
	var rows []historyRow
	err := q.within(tx.Table(from).Where("n.to_all = ?", true).Where(none, q.UserID), "n.id").
		Select(historyColumns + ", n.except_users, '' AS state, n.created_at AS at").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	out := make([]Delivered, 0, len(rows))
	for _, r := range rows {
		if r.ExceptUsers != nil && slices.Contains(users(*r.ExceptUsers), q.UserID) {
			continue
		}
		if r.NoticeState == Recalled || r.NoticeState == Expired {
			r.State = r.NoticeState
		}
		out = append(out, r.Delivered)
	}
	return out, nil
}

// within leaves the newest rows of the time and the conference asked for.
func (q HistoryQuery) within(tx *gorm.DB, noticeID string) *gorm.DB {
	if q.ConferenceID != "" {
		tx = tx.Where("n.conference_id IN ?", []string{"", q.ConferenceID})
	}
	if q.From != 0 {
		tx = tx.Where(noticeID+" >= ?", idFloor(q.From))
	}
	if q.To != 0 {
		tx = tx.Where(noticeID+" < ?", idFloor(min(q.To, math.MaxInt64-1)+1))
	}
	return tx.Order(noticeID + " DESC").Limit(q.Limit)
}
