package notice

import (
	"context"
	"fmt"

	"gorm.io/gorm"
)

// eraseBatch is how many rows one step of an erasure changes at most.
const eraseBatch = 500

// Erase takes the name, the addresses and the devices of a user out of the log; what he said stays. It joins the
// transaction of ctx. Without one it makes many short ones, oldest rows first: with hundreds of thousands of rows it
// takes longer than one transaction may. What is erased already costs little, so call it before the transaction that
// it joins, too.
func (n *Notices) Erase(ctx context.Context, userID string) error {
	said := Filter{SenderID: userID}.lists()[0]
	heard := Filter{RecipientID: userID}.lists()[0]
	err := n.inSteps(ctx, said, nameless,
		"message = JSON_SET(message, '$.userName', '')", "event IN ('"+OnlineNotice+"', '"+OfflineNotice+"') AND JSON_VALID(message) AND message NOT LIKE '%\"userName\":\"\"%' AND message NOT LIKE '%\"userName\": \"\"%'",
		"sender_name = '', from_ip = ''", "(sender_name <> '' OR from_ip <> '')")
	if err == nil {
		err = n.inSteps(ctx, heard, nil, "ip = '', device_id = ''", "(ip <> '' OR device_id <> '')")
	}
	if err != nil {
		return fmt.Errorf("erase user from the notice log: %w", err)
	}
	return nil
}

// inSteps changes the rows of a list, some at a time by its index: left alone, MariaDB reads and locks the whole table
// for a user who is in much of it. changes are what to set and which rows need it, in turn. first, unless nil, does
// before them what no statement can, with the table and the condition of the step.
func (n *Notices) inSteps(ctx context.Context, l list, first func(rows *gorm.DB) error, changes ...string) error {
	for from, done := "", false; !done; {
		var next []string
		err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			next = nil
			q, noticeID := walk{lists: []list{l}}.from(tx)
			if err := q.Where(noticeID+" >= ?", from).Order(noticeID).Offset(eraseBatch).Limit(1).Pluck(noticeID, &next).Error; err != nil {
				return err
			}
			where, values := fmt.Sprintf("l0.%s = ? AND %s >= ?", l.columns[0], noticeID), []any{l.values[0], from}
			if len(next) > 0 {
				where, values = where+" AND "+noticeID+" < ?", append(values, next[0])
			}
			if first != nil {
				if err := first(tx.Table(l.as(tx, "l0")).Where(where, values...)); err != nil {
					return err
				}
			}
			for i := 0; i < len(changes); i += 2 {
				if err := tx.Exec("UPDATE "+l.as(tx, "l0")+" SET "+changes[i]+" WHERE "+where+" AND "+changes[i+1], values...).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if done = len(next) == 0; !done {
			from = next[0]
		}
	}
	return nil
}
