package presence

import (
	"context"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Whatever is sent as a cursor, each list of this package either refuses it or goes on from somewhere to its end.
func FuzzCursor(f *testing.F) {
	db := storetest.Open(f, store.SQLite)
	n := prepare(db, nil)
	if err := n.AddMembers(f.Context(), "c", []Member{{UserID: "m1", Sort: 5}, {UserID: "m2", Sort: 5}, {UserID: "m3", Sort: -1}, {UserID: "張", Sort: 1 << 40}}); err != nil {
		f.Fatal(err)
	}
	err := db.Write(f.Context(), func(_ context.Context, tx *gorm.DB) error { // two members are there, and three guests
		rows := []presenceRow{}
		for i, user := range []string{"m1", "m2", "1", "2", "👤"} {
			rows = append(rows, presenceRow{ConferenceID: "c", UserID: user, State: Online, Since: 1, ArrivedAt: int64(i / 2)})
		}
		return tx.Create(&rows).Error
	})
	if err != nil {
		f.Fatal(err)
	}
	for i, s := range append(storetest.Cursors(), "", position{User: "2"}.cursor(), position{Key: 5, User: "m1"}.cursor(), position{Guest: true, Key: 1, User: "1"}.cursor()) {
		f.Add(i, s)
	}
	f.Fuzz(func(t *testing.T, which int, cursor string) {
		lists := []struct {
			whole int
			page  func(cursor string) (ids []string, next string, err error)
		}{
			{4, func(cursor string) (ids []string, next string, err error) {
				items, next, err := n.Members(t.Context(), "c", cursor, 2)
				for _, m := range items {
					ids = append(ids, m.UserID)
				}
				return ids, next, err
			}},
			{7, func(cursor string) (ids []string, next string, err error) {
				r, next, err := n.Page(t.Context(), "c", cursor, 2)
				for _, e := range r.Users {
					ids = append(ids, e.UserID)
				}
				return ids, next, err
			}},
			{5, func(cursor string) (ids []string, next string, err error) {
				items, next, err := n.Online(t.Context(), cursor, 2)
				for _, u := range items {
					ids = append(ids, u.UserID)
				}
				return ids, next, err
			}},
		}
		for i, list := range lists {
			if cursor != "" && uint(which)%uint(len(lists)) != uint(i) {
				continue
			}
			if got := storetest.FromCursor(t, cursor, list.page); got > list.whole || cursor == "" && got != list.whole {
				t.Errorf("list %d has %d of %d items", i, got, list.whole)
			}
		}
	})
}
