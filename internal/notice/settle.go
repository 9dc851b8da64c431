package notice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"rollcall/internal/store"
)

// errNoState is a mistake of the caller.
var errNoState = errors.New("a settlement with a state that is none")

// Settlement is something that became of a notice for a user: by which socket and when.
type Settlement struct {
	NoticeID, UserID                    string
	State                               string // Sent, Acked, Read, Unreached or Queued
	At                                  int64  // milliseconds since 1970
	SessionID, ClientType, DeviceID, IP string
}

// Settle writes down, in one transaction, or in that of ctx, what became of notices, and returns what was news, in the
// order of the list. What a notice is for a user only rises: queued, sent, acked, read; unreached is left for any of
// the last three, expired and recalled for none. Queued takes a sent back that the same session is said to have got,
// which was gone before. Ids that are no notice of the user change nothing; one to all, once sent, is a notice of
// every user who was known before it expired and is not excepted, but that it was sent to him makes no row.
func (n *Notices) Settle(ctx context.Context, list []Settlement) (changed []Settlement, err error) {
	ids := map[string]bool{}
	for _, s := range list {
		if !slices.Contains([]string{Sent, Acked, Read, Unreached, Queued}, s.State) {
			return nil, fmt.Errorf("%w: %q", errNoState, s.State)
		}
		if wellFormed(s.NoticeID) {
			ids[s.NoticeID] = true
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err = n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
		changed, err = n.settle(tx, slices.Sorted(maps.Keys(ids)), list)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("settle notices: %w", err)
	}
	return changed, nil
}

// mark is a delivery while it is being settled.
type mark struct {
	deliveryRow
	exists, changed bool
}

func (n *Notices) settle(tx *gorm.DB, ids []string, list []Settlement) (changed []Settlement, err error) {
	notices, err := lockNotices(tx, ids)
	if err != nil {
		return nil, err
	}
	heads := make(map[string]noticeRow, len(notices))
	for _, r := range notices {
		heads[r.ID] = r
	}
	list = slices.DeleteFunc(slices.Clone(list), func(s Settlement) bool {
		head, known := heads[s.NoticeID]
		unsent := head.SentAt == 0 && (head.State == Queued || head.State == Expired)
		return !known || head.State == Recalled || unsent
	})
	marks, err := readMarks(tx, list)
	if err != nil {
		return nil, err
	}
	if list, err = n.notHis(tx, heads, marks, list); err != nil {
		return nil, err
	}
	for _, s := range list {
		if m := marks[key{s.NoticeID, s.UserID}]; m.settle(s, heads[s.NoticeID]) {
			changed = append(changed, s)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	if err := saveMarks(tx, marks); err != nil {
		return nil, err
	}
	return changed, recount(tx, slices.DeleteFunc(notices, func(r noticeRow) bool {
		return !slices.ContainsFunc(changed, func(s Settlement) bool { return s.NoticeID == r.ID })
	}))
}

// key is a notice and a user.
type key struct{ notice, user string }

// readMarks returns the deliveries that the list is about, those that are not there with exists false.
func readMarks(tx *gorm.DB, list []Settlement) (map[key]*mark, error) {
	marks := make(map[key]*mark, len(list))
	for _, s := range list {
		marks[key{s.NoticeID, s.UserID}] = &mark{deliveryRow: deliveryRow{NoticeID: s.NoticeID, UserID: s.UserID}}
	}
	for part := range slices.Chunk(sortedKeys(marks), rowBatch) {
		var rows []deliveryRow
		if err := tx.Where(store.Pairs(tx, "notice_id", "user_id", part)).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read deliveries: %w", err)
		}
		for _, r := range rows {
			marks[key{r.NoticeID, r.UserID}] = &mark{deliveryRow: r, exists: true}
		}
	}
	return marks, nil
}

func sortedKeys(marks map[key]*mark) [][2]string {
	keys := make([][2]string, 0, len(marks))
	for k := range marks {
		keys = append(keys, [2]string{k.notice, k.user})
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	return keys
}

// notHis leaves out of the list what is about notices that are not the user's, and what he has read up to a mark.
func (n *Notices) notHis(tx *gorm.DB, heads map[string]noticeRow, marks map[key]*mark, list []Settlement) ([]Settlement, error) {
	readings, excepted := map[string]*reading{}, map[string][]string{}
	for _, s := range list {
		head := heads[s.NoticeID]
		if head.ToAll && head.ExceptUsers != "" && excepted[head.ID] == nil {
			excepted[head.ID] = users(head.ExceptUsers) // a long list, read once
		}
		if !head.ToAll || readings[s.UserID] != nil {
			continue
		}
		r, err := look(tx, View{UserID: s.UserID, Whole: true}, n.now())
		if err != nil {
			return nil, err
		}
		readings[s.UserID] = r
	}
	return slices.DeleteFunc(list, func(s Settlement) bool {
		head, m := heads[s.NoticeID], marks[key{s.NoticeID, s.UserID}]
		if !head.ToAll {
			return !m.exists
		}
		r := readings[s.UserID]
		if head.Stored && r.read(listed{ToAll: true, Category: head.Category, SentAt: head.SentAt}) {
			return true
		}
		foreign := head.SentAt == 0 || head.ExpiresAt != nil && r.known > *head.ExpiresAt || slices.Contains(excepted[head.ID], s.UserID)
		made := s.State == Acked || s.State == Read
		return foreign || !m.exists && !made
	}), nil
}

// settle changes m as s says and reports whether that was news.
func (m *mark) settle(s Settlement, head noticeRow) bool {
	if !m.leads(s) {
		return false
	}
	m.changed = true
	m.State, m.At = s.State, s.At
	m.SessionID, m.ClientType, m.DeviceID, m.IP = s.SessionID, s.ClientType, s.DeviceID, s.IP
	switch s.State {
	case Queued:
		m.SessionID, m.ClientType, m.DeviceID, m.IP = "", "", "", ""
	case Acked:
		m.AckedAt = &s.At
	case Read:
		m.ReadAt = &s.At
		if m.Inbox == unread || head.ToAll && head.Stored {
			m.Inbox = wasRead
		}
	}
	return true
}

// leads reports whether a delivery goes from the state of m, "" if there is none, to that of s.
func (m *mark) leads(s Settlement) bool {
	switch s.State {
	case Queued:
		return m.State == Sent && m.SessionID == s.SessionID
	case Unreached:
		return m.State == Queued || m.State == Sent
	case Sent:
		return m.State == "" || m.State == Queued || m.State == Unreached
	case Acked:
		return m.State == "" || m.State == Queued || m.State == Unreached || m.State == Sent
	}
	return m.State != Read && m.State != Expired && m.State != Recalled
}

func saveMarks(tx *gorm.DB, marks map[key]*mark) error {
	var rows []deliveryRow
	for _, k := range sortedKeys(marks) {
		if m := marks[key{k[0], k[1]}]; m.changed {
			rows = append(rows, m.deliveryRow)
		}
	}
	err := tx.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "notice_id"}, {Name: "user_id"}},
		DoUpdates: clause.AssignmentColumns([]string{"state", "at", "session_id", "client_type", "device_id", "ip", "inbox", "acked_at", "read_at"}),
	}).CreateInBatches(rows, insertBatch(tx)).Error
	if err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	return nil
}
