package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	sqlite "github.com/glebarez/go-sqlite"
	"github.com/go-sql-driver/mysql"
	"gorm.io/gorm"

	"rollcall/internal/fault"
)

// Numbers of MySQL errors, from its reference manual.
const (
	mysqlDiskFull      = 1021
	mysqlTooManyConns  = 1040
	mysqlNotReady      = 1047 // a node of a cluster that has lost the others
	mysqlShutdown      = 1053
	mysqlTableFull     = 1114 // how InnoDB says that the disk is full
	mysqlLockWait      = 1205
	mysqlDeadlock      = 1213
	mysqlReadOnly      = 1290
	mysqlQueryKilled   = 1317
	mysqlReadOnlyTx    = 1792
	mysqlReadOnlyMode  = 1836
	mysqlConnKilled    = 1927
	mysqlTooSlow       = 3024 // a statement took longer than the server was told it may
	mariadbTooSlow     = 1969 // the same
	sqliteBusy         = 5
	sqliteLocked       = 6
	sqliteReadOnly     = 8
	sqliteInterrupt    = 9 // how a statement ends whose context does
	sqliteFull         = 13
	sqliteIOErr        = 10
	sqliteCantOpenFile = 14
)

// retryable reports whether the same transaction may well succeed when tried again at once.
func retryable(err error) bool {
	if m, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return m.Number == mysqlDeadlock || m.Number == mysqlLockWait
	}
	if s, ok := errors.AsType[*sqlite.Error](err); ok {
		code := s.Code() & 0xff
		return code == sqliteBusy || code == sqliteLocked
	}
	return false
}

// cutOff reports whether err, which a statement within a transaction returned, says that its connection has ended. Then the
// database takes back what the transaction did, so that the same one may be tried again on another connection. Of a COMMIT
// the same error says nothing.
func cutOff(err error) bool {
	if m, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return m.Number == mysqlConnKilled
	}
	return slices.ContainsFunc([]error{driver.ErrBadConn, mysql.ErrInvalidConn, io.EOF, io.ErrUnexpectedEOF}, func(gone error) bool { return errors.Is(err, gone) })
}

// translate turns "the database is away" into a fault of kind Unavailable and leaves everything else.
func translate(err error) error {
	if err == nil || !away(err) {
		return err
	}
	if fault.Is(err, fault.Unavailable) {
		return err
	}
	return fault.Away(err)
}

// away reports whether err says that the database cannot answer for now, whatever was asked.
func away(err error) bool {
	if errors.Is(err, errNoEntry) {
		return true
	}
	if m, ok := errors.AsType[*mysql.MySQLError](err); ok {
		switch m.Number {
		case mysqlDeadlock, mysqlLockWait, mysqlReadOnly, mysqlReadOnlyTx, mysqlReadOnlyMode, mysqlTooManyConns, mysqlShutdown, mysqlQueryKilled, mysqlTooSlow, mariadbTooSlow, mysqlConnKilled,
			mysqlDiskFull, mysqlTableFull, mysqlNotReady:
			return true
		}
		return false
	}
	if s, ok := errors.AsType[*sqlite.Error](err); ok {
		switch s.Code() & 0xff {
		case sqliteBusy, sqliteLocked, sqliteReadOnly, sqliteInterrupt, sqliteFull, sqliteIOErr, sqliteCantOpenFile:
			return true
		}
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, gone := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, sql.ErrConnDone, sql.ErrTxDone, io.ErrUnexpectedEOF, io.EOF, context.DeadlineExceeded, context.Canceled, net.ErrClosed} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// NotFound reports whether err says that no row was there.
func NotFound(err error) bool { return errors.Is(err, gorm.ErrRecordNotFound) }

// Duplicate reports whether err says that a unique key was taken.
func Duplicate(err error) bool { return errors.Is(err, gorm.ErrDuplicatedKey) }

// LockHeld reports whether err says that another transaction held a lock for longer than a statement waits.
func LockHeld(err error) bool {
	m, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && m.Number == mysqlLockWait
}
