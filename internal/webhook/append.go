package webhook

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// batchRows and batchBytes bound one statement: SQLite bounds the depth of a condition, MySQL the size of a packet.
const (
	batchRows  = 200
	batchBytes = 1 << 20
)

// Append writes what the endpoints are to be told, in the transaction that ctx carries or in its own, and has the sender
// look once it is committed. When no endpoint wants any of it, it does nothing. An event that cannot be encoded, or is above
// 1 MiB, is an error and nothing is written.
func (o *Outbox) Append(ctx context.Context, events []Event) error {
	if o == nil {
		return nil
	}
	list, err := o.letters(events)
	if err != nil || len(list) == 0 {
		return err
	}
	count := map[lane]int64{}
	for _, l := range list {
		count[l.lane()]++
	}
	err = o.db.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		next, err := takeNumbers(tx, count)
		if err != nil {
			return fmt.Errorf("number webhook events: %w", err)
		}
		rows := make([]outboxRow, len(list))
		for i, l := range list {
			rows[i] = l.numbered(next[l.lane()])
			next[l.lane()]++
		}
		store.AfterCommit(ctx, o.rouse)
		return insertRows(tx, rows)
	})
	if err != nil {
		return fmt.Errorf("append to the webhook outbox: %w", err)
	}
	return nil
}

// takeNumbers reserves count numbers in each lane and returns the first of them. The rows of the lanes stay locked until tx
// ends, so that the numbers are in the order of commits, and without gaps when it is rolled back.
func takeNumbers(tx *gorm.DB, count map[lane]int64) (map[lane]int64, error) {
	lanes := make([]lane, 0, len(count))
	for l := range count {
		lanes = append(lanes, l)
	}
	slices.SortFunc(lanes, func(a, b lane) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.conference, b.conference))
	})
	first := make(map[lane]int64, len(count))
	for part := range slices.Chunk(lanes, batchRows) {
		if err := raiseLanes(tx, part, count); err != nil {
			return nil, err
		}
		keys := make([][2]string, len(part))
		for i, l := range part {
			keys[i] = [2]string{l.endpoint, l.conference}
		}
		var rows []laneRow
		if err := tx.Where(store.Pairs(tx, "endpoint", "conference_id", keys)).Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, r := range rows {
			first[r.lane()] = r.Seq - count[r.lane()] + 1
		}
	}
	return first, nil
}

// raiseLanes adds to the lanes' last numbers. An idle lane becomes due now; one that a node works on, or that waits
// for a retry, stays as it is.
func raiseLanes(tx *gorm.DB, lanes []lane, count map[lane]int64) error {
	now := clock(tx)
	var sql strings.Builder
	sql.WriteString("INSERT INTO webhook_lanes (endpoint, conference_id, seq, due_at) VALUES ")
	args := make([]any, 0, 3*len(lanes))
	for i, l := range lanes {
		if i > 0 {
			sql.WriteString(", ")
		}
		fmt.Fprintf(&sql, "(?, ?, ?, %s - %s %% 2)", now, now) // even, see free
		args = append(args, l.endpoint, l.conference, count[l])
	}
	if tx.Name() == store.SQLite {
		sql.WriteString(" ON CONFLICT (endpoint, conference_id) DO UPDATE SET seq = webhook_lanes.seq + excluded.seq, due_at = COALESCE(webhook_lanes.due_at, excluded.due_at)")
	} else {
		sql.WriteString(" ON DUPLICATE KEY UPDATE seq = seq + VALUES(seq), due_at = COALESCE(due_at, VALUES(due_at))")
	}
	return tx.Exec(sql.String(), args...).Error
}

func insertRows(tx *gorm.DB, rows []outboxRow) error {
	for from := 0; from < len(rows); {
		to, size := from, 0
		for to < len(rows) && to-from < batchRows && (to == from || size+len(rows[to].Body) <= batchBytes) {
			size += len(rows[to].Body)
			to++
		}
		part := rows[from:to]
		if err := tx.Create(&part).Error; err != nil {
			return err
		}
		from = to
	}
	return nil
}
