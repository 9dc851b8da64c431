package presence

import (
	"database/sql/driver"
	"encoding/json"
	"slices"
	"strings"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// chunk is the number of rows or values that one statement carries.
const chunk = 500

// nameMax is the most characters of a name that a row holds.
const nameMax = 255

// pair is a conference and a user.
type pair = [2]string

type sessionRow struct {
	ID           string `gorm:"primaryKey"`
	ConferenceID string
	UserID       string
	UserName     string
	ClientType   string
	DeviceID     string
	IP           string
	NodeID       string
	Epoch        int64
	OpenedAt     int64
	ClosedAt     *int64
	Reason       Reason
}

// TableName is for gorm.
func (sessionRow) TableName() string { return "presence_sessions" }

func newSessionRow(s Session, node string, epoch int64) sessionRow {
	return sessionRow{
		ID: s.ID, ConferenceID: s.ConferenceID, UserID: s.UserID, UserName: clip(s.UserName), ClientType: s.ClientType,
		DeviceID: s.DeviceID, IP: s.IP, NodeID: node, Epoch: epoch, OpenedAt: s.OpenedAt.UnixMilli(),
	}
}

func (r *sessionRow) pair() pair { return pair{r.ConferenceID, r.UserID} }

// close ends the row at a time that is never before its beginning, whatever the clocks of nodes say.
func (r *sessionRow) close(at int64, why Reason) {
	at = max(at, r.OpenedAt)
	r.ClosedAt, r.Reason = &at, why
}

func (r *sessionRow) device() Device {
	return Device{SessionID: r.ID, ClientType: r.ClientType, DeviceID: r.DeviceID, ConnectedAt: r.OpenedAt, IP: r.IP, NodeID: r.NodeID}
}

type presenceRow struct {
	ConferenceID string `gorm:"primaryKey"`
	UserID       string `gorm:"primaryKey"`
	UserName     string
	NameRank     rank
	TokenRole    string
	State        State
	Since        int64
	ArrivedAt    int64
	OfflineDueAt *int64
	Reason       Reason
}

// TableName is for gorm.
func (presenceRow) TableName() string { return "presence" }

func (r presenceRow) standing() standing {
	s := standing{state: r.State, since: r.Since, arrivedAt: r.ArrivedAt, why: r.Reason}
	if r.State == "" {
		s.state = Offline
	}
	if r.OfflineDueAt != nil {
		s.dueAt = *r.OfflineDueAt
	}
	return s
}

func (r *presenceRow) set(s standing) {
	r.State, r.Since, r.ArrivedAt, r.Reason, r.OfflineDueAt = s.state, s.since, s.arrivedAt, s.why, nil
	if s.dueAt != 0 {
		r.OfflineDueAt = &s.dueAt
	}
}

type nodeRow struct {
	ID          string `gorm:"primaryKey"`
	Epoch       int64
	State       string
	HeartbeatAt int64
	StartedAt   int64
	Sockets     int64
}

// TableName is for gorm.
func (nodeRow) TableName() string { return "nodes" }

type userRow struct {
	ID        string `gorm:"primaryKey"`
	Name      string
	UpdatedAt int64 `gorm:"autoUpdateTime:false"`
}

// TableName is for gorm.
func (userRow) TableName() string { return "users" }

type memberRow struct {
	ConferenceID string `gorm:"primaryKey"`
	UserID       string `gorm:"primaryKey"`
	Name         string
	Role         string
	Attrs        *string
	Sort         int64
	Excused      flag
}

// TableName is for gorm.
func (memberRow) TableName() string { return "conference_members" }

func (r memberRow) member() Member {
	return Member{UserID: r.UserID, Name: r.Name, Role: role(r.Role), Attrs: attributes(r.Attrs), Sort: r.Sort, Excused: bool(r.Excused)}
}

// flag is a column that others may write as well: anything but 0 is true.
type flag bool

// Scan implements sql.Scanner.
func (f *flag) Scan(column any) error {
	switch v := column.(type) {
	case int64:
		*f = v != 0
	case bool:
		*f = flag(v)
	case []byte:
		*f = string(v) != "0"
	case string:
		*f = v != "0"
	default:
		*f = false
	}
	return nil
}

// Value implements driver.Valuer.
func (f flag) Value() (driver.Value, error) { return bool(f), nil }

// role reads a column that others may write as well: what nobody knows is a member.
func role(column string) string {
	switch column {
	case "host", "observer":
		return column
	}
	return "member"
}

// attributes reads a column that others may write as well: what is not JSON is left out.
func attributes(column *string) json.RawMessage {
	if column == nil || !json.Valid([]byte(*column)) {
		return nil
	}
	return json.RawMessage(*column)
}

// clip makes a name from outside fit its column.
func clip(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if r := []rune(name); len(r) > nameMax {
		return string(r[:nameMax])
	}
	return name
}

// clock is the expression for the clock of the database, the same for all nodes, in milliseconds since 1970.
func clock(tx *gorm.DB) string {
	if tx.Name() == store.SQLite {
		return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
	}
	return "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
}

// incoming is the expression, in an upsert, for the value that could not be inserted.
func incoming(tx *gorm.DB, column string) string {
	if tx.Name() == store.SQLite {
		return "excluded." + column
	}
	return "VALUES(" + column + ")"
}

// distinct returns the values sorted, each once, without "".
func distinct(values []string) []string {
	out := slices.Clone(values)
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > 0 && out[0] == "" {
		out = out[1:]
	}
	return out
}
