package presence

import (
	"context"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// node is a running Presence and what it told.
type node struct {
	*Presence
	stop func() // as planned; may be called twice
	err  chan error

	mu      sync.Mutex
	changes []Change
}

// start runs a Presence with short times on db until the test ends.
func start(t *testing.T, db *store.DB, edit func(*Presence)) *node {
	t.Helper()
	n := prepare(db, edit)
	n.run(t)
	select {
	case <-n.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the node did not get ready")
	}
	return n
}

func prepare(db *store.DB, edit func(*Presence)) *node {
	n := &node{err: make(chan error, 1)}
	n.Presence = New(Config{
		DB: db, Node: "n1", Grace: 300 * time.Millisecond, Heartbeat: 50 * time.Millisecond, NodeTimeout: time.Second,
		Changed: n.hear,
	})
	n.sweepEvery, n.reconcileEvery, n.settledAfter = 20*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond
	if edit != nil {
		edit(n.Presence)
	}
	return n
}

func (n *node) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() { n.err <- n.Run(ctx) }()
	n.stop = func() { cancel(); <-n.stopped }
	t.Cleanup(n.stop)
}

func (n *node) hear(changes []Change) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changes = append(n.changes, changes...)
}

// told returns the state changes of a user, as "offline>online" or "online>offline:left".
func (n *node) told(user string) (out []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.changes {
		if c.UserID != user || c.From == c.To {
			continue
		}
		s := string(c.From) + ">" + string(c.To)
		if c.Reason != "" {
			s += ":" + string(c.Reason)
		}
		out = append(out, s)
	}
	return out
}

// open opens a session of user in conference c and returns its id and what it meant.
func (n *node) open(t *testing.T, user string) (string, Arrival) {
	t.Helper()
	s := session("c", user)
	a, err := n.Open(t.Context(), s)
	if err != nil {
		t.Fatalf("open session of %s: %v", user, err)
	}
	return s.ID, a
}

func session(conf, user string) Session {
	return Session{ID: id.New(), ConferenceID: conf, UserID: user, ClientType: "web", DeviceID: "d", IP: "10.0.0.1", OpenedAt: time.Now()}
}

// state returns what the database says of a user in conference c.
func (n *node) state(t *testing.T, user string) State {
	t.Helper()
	return n.truth(t, user).State
}

func (n *node) truth(t *testing.T, user string) Truth {
	t.Helper()
	all, err := n.StateOf(t.Context(), [][2]string{{"c", user}})
	if err != nil {
		t.Fatalf("read state of %s: %v", user, err)
	}
	return all[[2]string{"c", user}]
}

// becomes waits until the database says state of a user in conference c.
func (n *node) becomes(t *testing.T, user string, want State) {
	t.Helper()
	storetest.Eventually(t, func() bool { return n.state(t, user) == want }, user+" becomes "+string(want))
}

func (n *node) versions(t *testing.T) Versions {
	t.Helper()
	var v Versions
	err := n.cfg.DB.Read(t.Context(), func(_ context.Context, tx *gorm.DB) (err error) {
		v, err = ReadVersions(tx, "c")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask asks the database for one number.
func ask(t *testing.T, db *store.DB, query string, args ...any) (n int64) {
	t.Helper()
	err := db.Read(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Raw(query, args...).Scan(&n).Error })
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// do lets a foreign hand write the database.
func do(t *testing.T, db *store.DB, statement string, args ...any) {
	t.Helper()
	err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error { return tx.Exec(statement, args...).Error })
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
