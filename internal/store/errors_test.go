package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/go-sql-driver/mysql"

	"rollcall/internal/fault"
)

// What is away for now is told from what will never work: a full disk, or a cluster without its majority, is no fault of the
// one row that happened to be written, and used to cost it its batch.
func TestAway(t *testing.T) {
	for want, numbers := range map[bool][]uint16{
		true:  {1021, 1040, 1047, 1053, 1114, 1205, 1213, 1290, 1317, 1792, 1836, 1927},
		false: {1044, 1045, 1054, 1062, 1064, 1146, 1364, 1406, 1452},
	} {
		for _, n := range numbers {
			err := fmt.Errorf("write: %w", &mysql.MySQLError{Number: n})
			if got := fault.Is(translate(err), fault.Unavailable); got != want {
				t.Errorf("error %d of a statement: away %v, want %v", n, got, want)
			}
			if err := fmt.Errorf("%w: %w", errNoEntry, err); !fault.Is(translate(err), fault.Unavailable) {
				t.Errorf("error %d of a connection is not taken for absence", n)
			}
		}
	}
}

// database/sql makes another connection for ErrBadConn, and must go on seeing it.
func TestEntryHidesNoError(t *testing.T) {
	for _, want := range []error{driver.ErrBadConn, context.Canceled, io.EOF} {
		conn, err := entry{refusing{want}}.Connect(t.Context())
		if conn != nil || !errors.Is(err, want) || !errors.Is(err, errNoEntry) {
			t.Errorf("%v became %v", want, err)
		}
	}
}

// refusing is a connector that does not connect.
type refusing struct{ err error }

func (r refusing) Connect(context.Context) (driver.Conn, error) { return nil, r.err }
func (r refusing) Driver() driver.Driver                        { return nil }
