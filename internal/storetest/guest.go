package storetest

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/id"
	"rollcall/internal/store"
)

// Guest makes a user of MariaDB who may do everything in the database of c and nothing outside of it, and returns how it logs in. The
// user ends with the test: it would outlive its database.
func Guest(t testing.TB, c store.Config, password string) *mysql.Config {
	t.Helper()
	guest, err := mysql.ParseDSN(c.DSN)
	if err != nil {
		t.Fatalf("read the name of the test database: %v", err)
	}
	admin, err := sql.Open("mysql", c.DSN)
	if err != nil {
		t.Fatalf("open the test database: %v", err)
	}
	guest.User, guest.Passwd = "guest_"+strings.ToLower(id.New()), password
	account := "'" + guest.User + "'@'%'"
	t.Cleanup(func() {
		_ = accounts(admin, "DROP USER "+account)
		_ = admin.Close()
	})
	Accounts(t, admin, "CREATE USER "+account+" IDENTIFIED BY '"+password+"'", "GRANT ALL ON "+guest.DBName+".* TO "+account)
	return guest
}

// Accounts runs statements that change who may log in to MariaDB and what they may do there. It does so one caller at a time, in all
// processes that test with the server: two CREATE USER beside each other may fail with error 1396, though their names differ.
func Accounts(t testing.TB, admin *sql.DB, statements ...string) {
	t.Helper()
	if err := accounts(admin, statements...); err != nil {
		t.Fatalf("change accounts of the test database: %v", err)
	}
}

func accounts(admin *sql.DB, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := admin.Conn(ctx) // a lock is held by a connection
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT GET_LOCK('rollcall_test_accounts', 60)"); err != nil {
		return err
	}
	defer conn.ExecContext(ctx, "SELECT RELEASE_LOCK('rollcall_test_accounts')")
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
