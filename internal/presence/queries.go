package presence

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/store"
)

// UserPresence is where a user is.
type UserPresence struct {
	UserID      string
	UserName    string // as shown in the last of Conferences; "" when he is nowhere
	Conferences []Stay // by conference id; empty when he is nowhere
}

// Stay is a user's presence in one conference.
type Stay struct {
	ConferenceID string
	State        State // online or reconnecting
	Since        int64 // milliseconds since 1970
	Devices      []Device
}

// Truth is what is to be said of a user in a conference.
type Truth struct {
	State    State // online, reconnecting or offline
	UserName string
	Reason   Reason // why he is not online; "" when he is, or never came
	Online   int    // people online or reconnecting in the conference
}

// Summary is the total of all nodes.
type Summary struct {
	Sockets     int // open sessions, with and without a conference
	Users       int // different users among them
	Conferences int // with anybody online or reconnecting
	Nodes       []Node
	ClientTypes map[string]int // open sessions, by client type
}

// Node is a process that serves or served.
type Node struct {
	ID          string
	Epoch       int64
	State       string // up, dead or stopped
	HeartbeatAt int64  // milliseconds since 1970, by the clock of the database
	StartedAt   int64
	Sockets     int64 // at the last heartbeat
}

// OfUser returns where a user is. An unknown user is nowhere.
func (p *Presence) OfUser(ctx context.Context, user string) (UserPresence, error) {
	all, err := p.Query(ctx, []string{user})
	if err != nil {
		return UserPresence{}, err
	}
	return all[0], nil
}

// Query returns where users are, in the order given.
func (p *Presence) Query(ctx context.Context, users []string) (out []UserPresence, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		out, err = staysOf(tx, users)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read presence of users: %w", err)
	}
	return out, nil
}

// Online returns everybody who is online or reconnecting in any conference, by user id, from cursor on ("" is the
// start), and the cursor of the next page, "" when there is none. limit 0 is 50. A cursor that this method did
// not make is a fault Invalid "bad_cursor".
func (p *Presence) Online(ctx context.Context, cursor string, limit int) (items []UserPresence, next string, err error) {
	from, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		users, err := presentFrom(tx, from.User, limit+1)
		if err != nil {
			return err
		}
		if len(users) > limit {
			users = users[:limit]
			next = position{User: users[limit-1]}.cursor()
		}
		items, err = staysOf(tx, users)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("read who is online: %w", err)
	}
	return items, next, nil
}

// presentFrom returns the first users after one who are online or reconnecting anywhere, by id. It asks for each state by itself, of
// which an index has them in this order: of both together all would be read to find the first.
func presentFrom(tx *gorm.DB, after string, limit int) ([]string, error) {
	var all []string
	for _, state := range present {
		var users []string
		err := tx.Model(&presenceRow{}).Distinct("user_id").Where("state = ? AND user_id > ?", state, after).
			Order("user_id").Limit(limit).Pluck("user_id", &users).Error
		if err != nil {
			return nil, err
		}
		all = append(all, users...)
	}
	all = distinct(all)
	return all[:min(limit, len(all))], nil
}

func staysOf(tx *gorm.DB, users []string) ([]UserPresence, error) {
	devices := map[pair][]Device{}
	stays := map[string][]presenceRow{}
	for some := range slices.Chunk(distinct(users), chunk) {
		var sessions []sessionRow
		if err := tx.Where("user_id IN ? AND closed_at IS NULL", some).Order("opened_at, id").Find(&sessions).Error; err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
		for _, s := range sessions {
			devices[s.pair()] = append(devices[s.pair()], s.device())
		}
		var rows []presenceRow
		if err := tx.Where("user_id IN ? AND state IN ?", some, present).Order("conference_id").Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read presence: %w", err)
		}
		for _, r := range rows {
			stays[r.UserID] = append(stays[r.UserID], r)
		}
	}
	out := make([]UserPresence, len(users))
	for i, user := range users {
		out[i] = UserPresence{UserID: user, Conferences: make([]Stay, 0, len(stays[user]))}
		for _, r := range stays[user] {
			out[i].UserName = r.UserName
			out[i].Conferences = append(out[i].Conferences, Stay{r.ConferenceID, r.State, r.Since, devices[pair{r.ConferenceID, user}]})
		}
	}
	return out, nil
}

// StateOf returns the truth about pairs of conference and user, all as of one moment. Every pair has an answer:
// who never came is offline. It joins the snapshot or transaction of ctx.
func (p *Presence) StateOf(ctx context.Context, pairs [][2]string) (out map[[2]string]Truth, err error) {
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error {
		out = make(map[[2]string]Truth, len(pairs))
		confs := make([]string, len(pairs))
		for i, who := range pairs {
			confs[i] = who[0]
		}
		online, err := countOnline(tx, confs)
		if err != nil {
			return err
		}
		for _, who := range pairs {
			out[who] = Truth{State: Offline, Online: online[who[0]]}
		}
		for some := range slices.Chunk(pairs, batchMax) {
			var rows []presenceRow
			if err := tx.Where(store.Pairs(tx, "conference_id", "user_id", some)).Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				out[pair{r.ConferenceID, r.UserID}] = Truth{r.State, r.UserName, r.Reason.ifAny(), online[r.ConferenceID]}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read states: %w", err)
	}
	return out, nil
}

// Summary returns the totals of all nodes, as of one moment.
func (p *Presence) Summary(ctx context.Context) (s Summary, err error) {
	err = p.cfg.DB.Read(ctx, func(ctx context.Context, tx *gorm.DB) error {
		s = Summary{ClientTypes: map[string]int{}}
		var types []struct {
			ClientType string
			N          int
		}
		err := tx.Model(&sessionRow{}).Select("client_type, COUNT(*) AS n").Where("closed_at IS NULL").Group("client_type").Find(&types).Error
		if err != nil {
			return err
		}
		for _, t := range types {
			s.ClientTypes[t.ClientType] = t.N
			s.Sockets += t.N
		}
		if err := tx.Raw("SELECT COUNT(DISTINCT user_id) FROM presence_sessions WHERE closed_at IS NULL").Scan(&s.Users).Error; err != nil {
			return err
		}
		if err := tx.Raw("SELECT COUNT(DISTINCT conference_id) FROM presence WHERE state IN ?", present).Scan(&s.Conferences).Error; err != nil {
			return err
		}
		s.Nodes, err = p.Nodes(ctx)
		return err
	})
	if err != nil {
		return Summary{}, fmt.Errorf("read summary: %w", err)
	}
	return s, nil
}

// Nodes returns every process that ever served, by id.
func (p *Presence) Nodes(ctx context.Context) (out []Node, err error) {
	var rows []nodeRow
	err = p.cfg.DB.Read(ctx, func(_ context.Context, tx *gorm.DB) error { return tx.Order("id").Find(&rows).Error })
	if err != nil {
		return nil, fmt.Errorf("read nodes: %w", err)
	}
	out = make([]Node, len(rows))
	for i, r := range rows {
		out[i] = Node(r)
	}
	return out, nil
}
