package notice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/hall"
	"rollcall/internal/id"
	"rollcall/internal/store"
)

// typeListMax is the width of the column of client types, in characters.
const typeListMax = 2048

// Posting is a notice to be stored, with what belongs to it.
type Posting struct {
	Entry       Entry               // its ID may be left out
	Held        []Held              // kept for users who are reconnecting
	Letters     []hall.Letter       // for other nodes, posted in the same transaction, see Config.Forward
	SenderMsgID string              // the sender's own number for it, "" none: a second posting with the same is not made
	After       func(notice Posted) // called once committed, in the order of the commits on this node; must not block; may be nil
}

// Posted is what became of a posting. Fresh is false when its SenderMsgID was posted before: then ID is that of the
// first, nothing was done, and After is not called.
type Posted struct {
	ID    string
	Fresh bool
}

// Post stores a notice and returns once it is committed. Callers of one moment share a transaction, which Run makes;
// when ctx carries one, Post writes in that instead. With SendAt, the ID sorts by that time, SentAt is 0 and State
// Queued; otherwise a SentAt that is left out is CreatedAt. When 2,000 postings wait already, Run has ended or the
// database is away, that is a fault of kind Unavailable, and nothing was done; only when ctx ends first, or the database
// is lost in the middle of a commit and does not come back at once, it may have been.
func (n *Notices) Post(ctx context.Context, p Posting) (Posted, error) {
	p, err := complete(p)
	if err != nil {
		return Posted{}, err
	}
	var posted Posted
	if store.InTransaction(ctx) {
		posted, err = n.postWithin(ctx, p)
	} else {
		posted, err = n.poster.post(ctx, p)
	}
	if err != nil {
		return Posted{}, fmt.Errorf("post notice: %w", err)
	}
	return posted, nil
}

// postWithin writes in the transaction of ctx.
func (n *Notices) postWithin(ctx context.Context, p Posting) (Posted, error) {
	var posted Posted
	err := n.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		all, err := n.poster.writeAll(ctx, tx, []Posting{p})
		if err == nil {
			posted = all[0]
		}
		return err
	})
	if err == nil && posted.Fresh && p.After != nil {
		store.AfterCommit(ctx, func() { p.After(posted) })
	}
	return posted, err
}

// complete gives a posting what was left out, outside the transaction, so that each attempt has the same ids.
func complete(p Posting) (Posting, error) {
	e := p.Entry
	if len(typeList(e.ClientTypes)) > typeListMax {
		return p, fault.Invalidf("too many types of clients")
	}
	if e.ID == "" && e.SendAt != 0 {
		e.ID = id.At(time.UnixMilli(e.SendAt))
	}
	e = name(e)
	switch {
	case e.SendAt != 0:
		e.SentAt, e.State = 0, Queued
	case e.SentAt == 0:
		e.SentAt = e.CreatedAt
	}
	if e.State == "" {
		e.State = Sent
	}
	// In the order of the primary key a large audience is written much faster.
	e.Deliveries = slices.Clone(e.Deliveries)
	slices.SortFunc(e.Deliveries, func(a, b Delivery) int { return cmp.Compare(a.UserID, b.UserID) })
	p.Entry = e
	p.Held = slices.Clone(p.Held)
	for i := range p.Held {
		h := &p.Held[i]
		if h.ID == "" {
			h.ID = id.New()
		}
		h.NoticeID = e.ID
	}
	return p, nil
}

// isLogged finds out whether a transaction that wrote a row of the log was committed.
func isLogged(db *store.DB, noticeID string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		var count int64
		err := db.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
			return tx.Model(&noticeRow{}).Where("id = ?", noticeID).Count(&count).Error
		})
		return count > 0, err
	}
}

// writeAll writes postings, and has the letters of those that are fresh posted.
func (p *poster) writeAll(ctx context.Context, tx *gorm.DB, list []Posting) ([]Posted, error) {
	all, err := writePostings(tx, list)
	if err != nil {
		return nil, err
	}
	var letters []hall.Letter
	for i, posting := range list {
		if all[i].Fresh {
			letters = append(letters, posting.Letters...)
			store.Witness(ctx, isLogged(p.db, all[i].ID))
		}
	}
	if len(letters) > 0 {
		if err := p.forward(ctx, letters); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// writePostings writes those that were not posted before and returns what became of each.
func writePostings(tx *gorm.DB, list []Posting) ([]Posted, error) {
	first, err := claimNumbers(tx, list)
	if err != nil {
		return nil, fmt.Errorf("note numbers of senders: %w", err)
	}
	all := make([]Posted, len(list))
	var entries []Entry
	var held []heldRow
	var due []dueRow
	for i, p := range list {
		all[i] = Posted{ID: p.Entry.ID, Fresh: true}
		if before, numbered := first[i]; numbered && before != p.Entry.ID {
			all[i] = Posted{ID: before}
			continue
		}
		entries = append(entries, p.Entry)
		due = append(due, tasksOf(p.Entry)...)
		for _, h := range p.Held {
			held = append(held, rowOfHeld(h))
		}
	}
	if len(entries) > 0 {
		if err := insert(tx, entries); err != nil {
			return nil, err
		}
	}
	if len(held) > 0 {
		if err := keeping(tx).CreateInBatches(held, insertBatch(tx)).Error; err != nil {
			return nil, fmt.Errorf("keep for who is reconnecting: %w", err)
		}
	}
	if len(due) > 0 {
		if err := keeping(tx).CreateInBatches(due, insertBatch(tx)).Error; err != nil {
			return nil, fmt.Errorf("note what is due: %w", err)
		}
	}
	return all, nil
}

type clientMessageRow struct {
	SenderID    string `gorm:"primaryKey"`
	ClientMsgID string `gorm:"primaryKey"`
	NoticeID    string
	CreatedAt   int64 `gorm:"autoCreateTime:false"`
}

func (clientMessageRow) TableName() string { return "notice_client_messages" }

// claimNumbers notes the numbers that senders gave, and returns for each posting that has one, by its place in the
// list, the ID under which that number was posted first. Who comes second waits for the first one's transaction.
func claimNumbers(tx *gorm.DB, list []Posting) (map[int]string, error) {
	var rows []clientMessageRow
	for _, p := range list {
		if p.SenderMsgID != "" {
			rows = append(rows, clientMessageRow{p.Entry.SenderID, p.SenderMsgID, p.Entry.ID, p.Entry.CreatedAt})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(rows, func(a, b clientMessageRow) int {
		return cmp.Or(cmp.Compare(a.SenderID, b.SenderID), cmp.Compare(a.ClientMsgID, b.ClientMsgID))
	})
	if err := keeping(tx).CreateInBatches(rows, insertBatch(tx)).Error; err != nil {
		return nil, err
	}
	ids := make(map[[2]string]string, len(rows))
	for part := range slices.Chunk(rows, rowBatch) {
		keys := make([][2]string, len(part))
		for i, r := range part {
			keys[i] = [2]string{r.SenderID, r.ClientMsgID}
		}
		var found []clientMessageRow
		if err := tx.Where(store.Pairs(tx, "sender_id", "client_msg_id", keys)).Find(&found).Error; err != nil {
			return nil, err
		}
		for _, r := range found {
			ids[[2]string{r.SenderID, r.ClientMsgID}] = r.NoticeID
		}
	}
	first := map[int]string{}
	for i, p := range list {
		if p.SenderMsgID != "" {
			first[i] = ids[[2]string{p.Entry.SenderID, p.SenderMsgID}]
		}
	}
	return first, nil
}
