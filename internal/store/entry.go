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

// entry is a connector whose every error is an errNoEntry.
type entry struct{ driver.Connector }

// Connect implements driver.Connector.
func (e entry) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := e.Connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoEntry, err)
	}
	return conn, nil
}
