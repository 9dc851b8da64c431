package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// errNoEntry is of a connection that was not made. Whatever the reason, a wrong password or a locked account too, nobody was
// asked anything: it says nothing about what was to be asked, and somebody may put it right.
var errNoEntry = errors.New("no connection to the database")

// entry is a connector to MySQL whose every error is an errNoEntry.
type entry struct{ driver.Connector }

// readCommitted is what Write wants. It is said once to each connection: before each transaction it would be one statement more. It is
// no parameter of the data source name because MariaDB and MySQL have different names for that.
const readCommitted = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

// Connect implements driver.Connector.
func (e entry) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := e.Connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	if x, ok := conn.(driver.ExecerContext); ok {
		if _, err := x.ExecContext(ctx, readCommitted, nil); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%w: set the isolation of transactions: %w", errNoEntry, err)
		}
	}
	return conn, nil
}
