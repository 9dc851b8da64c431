package pages_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// logPace is the time between two rows of the log, in milliseconds: a million of them are seven weeks.
const logPace = 4_000

// fillLog writes a log of so many rows, the newest a minute old: every second is of one conference, the others of a thousand, and
// each has two deliveries.
func fillLog(t *testing.T, db *sql.DB, rows int) {
	t.Helper()
	const stride = 2_000 // rows of one statement
	first := time.Now().UnixMilli() - int64(rows)*logPace - time.Minute.Milliseconds()
	for start := 0; start < rows; start += stride {
		var notices, deliveries strings.Builder
		for i := start; i < min(start+stride, rows); i++ {
			ms := first + int64(i)*logPace
			id := id.At(time.UnixMilli(ms))
			conference, event, category, state := "42", "online_notice", "system", "sent"
			if i%2 == 1 {
				conference = fmt.Sprint("room-", i%1_000)
			}
			switch i % 10 {
			case 0, 1:
				event, category = "notice", "remind"
			case 2:
				state = "suppressed"
			}
			sender := fmt.Sprint("user-", i%20_011)
			fmt.Fprintf(&notices, ",('%s','%s','%s','Name of %s','%s','%s','1',%q,2,2,'10.1.2.3',7,'%s',%d)", id, conference, sender, sender, event, category,
				fmt.Sprintf(`{"title":"Notice %d","body":"The meeting will begin soon. 会议即将开始。"}`, i), state, ms)
			for _, user := range []string{fmt.Sprint("guest-", i%1_000), fmt.Sprint("user-", (i+1)%20_011)} {
				fmt.Fprintf(&deliveries, ",('%s','%s','acked',%d,'%s','web','d','10.9.8.7')", id, user, ms, id)
			}
		}
		for _, s := range []string{
			"INSERT INTO notices (id, conference_id, sender_id, sender_name, event, category, send_type, message, audience, sent, from_ip, online, state, created_at) VALUES " + notices.String()[1:],
			"INSERT INTO notice_deliveries (notice_id, user_id, state, at, session_id, client_type, device_id, ip) VALUES " + deliveries.String()[1:],
		} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("fill the log: %v", err)
			}
		}
	}
}

// An administrator filters and turns pages of a log of a million rows, and does not wait for it.
func TestLog(t *testing.T) {
	rows := storetest.Size(1_000_000, 20_000)
	config := storetest.DSN(t, store.MySQL)
	base := serve(t, map[string]string{
		"database.driver": config.Driver, "database.dsn": config.DSN, "redis.addr": storetest.RedisAddr(t), "redis.prefix": storetest.Prefix(t),
	})
	fillLog(t, storetest.OpenConfig(t, config).SQL(), rows)
	t.Setenv("ROLLCALL_TEST_ROWS", fmt.Sprint(rows))
	browse(t, base, "log")
}
