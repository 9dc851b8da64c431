package fault

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// However often an error was wrapped on its way up, the door finds the fault in it.
func TestOfFindsTheFault(t *testing.T) {
	gone := New(NotFound, "not_found", "no such conference")
	if got := Of(fmt.Errorf("read tree: %w", fmt.Errorf("find: %w", gone))); got != gone {
		t.Errorf("Of a wrapped fault is %v", got)
	}
	if Of(nil) != nil {
		t.Error("Of(nil) is not nil")
	}
}

// What nobody foresaw is Internal: its text is for the log and must not be what the outside is told.
func TestOfHidesWhatIsUnforeseen(t *testing.T) {
	secret := errors.New("password of the database is 123")
	got := Of(secret)
	if got.Kind != Internal || got.Code != "internal" || strings.Contains(got.Message, "123") {
		t.Errorf("Of an unforeseen error is %+v", got)
	}
	if !errors.Is(got, secret) || !strings.Contains(got.Error(), "123") {
		t.Errorf("the log does not learn the cause: %v", got)
	}
}

func TestIs(t *testing.T) {
	away := fmt.Errorf("write: %w", Away(io.EOF))
	switch {
	case !Is(away, Unavailable), !errors.Is(away, io.EOF):
		t.Errorf("%v is not Unavailable because of EOF", away)
	case Is(away, NotFound), Is(nil, Internal), Is(io.EOF, Internal):
		t.Error("Is found a kind that is not there")
	}
}

func TestInvalidf(t *testing.T) {
	f := Invalidf("%s is missing", "userId")
	if f.Kind != Invalid || f.Code != "bad_payload" || f.Error() != "userId is missing" {
		t.Errorf("%+v", f)
	}
}
