package notice
import ("testing";"rollcall/internal/store";m "rollcall/sql")
func migrationsUp(t *testing.T, db *store.DB) error { return m.Up(t.Context(), db.SQL(), store.MySQL) }
