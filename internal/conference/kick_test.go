package conference

import (
	"context"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/presence"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Whoever asked for a kick, or for a deletion, hangs up right after the commit. What was committed is done all the same:
// it used to end with the request, and the sessions stayed open.
func TestHangingUpAfterTheCommit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := build(t, db, nil)
		for what, do := range map[string]func(context.Context) error{
			"kick":   func(ctx context.Context) error { b.Kick(ctx, "anna", "42", "bye"); return nil },
			"delete": func(ctx context.Context) error { return b.Remove(ctx, "42") },
		} {
			b.arrive(t, "anna", "42")
			ctx, hangUp := context.WithCancel(t.Context())
			err := db.Write(ctx, func(ctx context.Context, _ *gorm.DB) error {
				store.AfterCommit(ctx, hangUp)
				return do(ctx)
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.stateOf(t, "anna"); got != presence.Offline {
				t.Errorf("after a %s she is %s", what, got)
			}
		}
	})
}
