package notice

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"rollcall/internal/id"
)

// Hold keeps messages that are in no log for users who are reconnecting. It joins the transaction of ctx.
func (n *Notices) Hold(ctx context.Context, held []Held) error {
	if len(held) == 0 {
		return nil
	}
	rows := make([]heldRow, len(held))
	for i, h := range held { // outside the transaction, so that each attempt has the same ids
		if h.ID == "" {
			h.ID = id.New()
		}
		rows[i] = rowOfHeld(h)
	}
	err := n.db.Write(ctx, func(_ context.Context, tx *gorm.DB) error { return tx.CreateInBatches(rows, rowBatch).Error })
	if err != nil {
		return fmt.Errorf("keep for users who are reconnecting: %w", err)
	}
	return nil
}
