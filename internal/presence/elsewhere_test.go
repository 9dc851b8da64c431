package presence

import (
	"slices"
	"sync"
	"testing"
	"time"

	"rollcall/internal/hall"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// A node is alone until another one has registered; that one lets nobody in before the first knows of it. When it has gone, the
// first is alone again.
func TestAlone(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	a := start(t, db, nil)
	storetest.Eventually(t, a.Alone, "the only node is alone")
	b := prepare(db, func(p *Presence) { p.cfg.Node = "n2" })
	b.run(t)
	<-b.Ready()
	if a.Alone() || b.Alone() {
		t.Errorf("two nodes serve, the first is alone: %v, the second: %v", a.Alone(), b.Alone())
	}
	b.stop()
	storetest.Eventually(t, a.Alone, "the node that is left is alone")
}

// Who is alone does not rely on that for longer than a newcomer waits, however long it is kept from looking.
func TestAloneForAWhile(t *testing.T) {
	p := New(Config{Node: "n1", Heartbeat: 3 * time.Second, NodeTimeout: 10 * time.Second})
	p.epoch = 1
	p.alone(time.Now().Add(-p.aloneFor()))
	if p.Alone() {
		t.Error("alone although it has not looked for too long")
	}
	p.alone(time.Now())
	if !p.Alone() {
		t.Error("not alone although nobody was there just now")
	}
	p.expel(1)
	if p.Alone() {
		t.Error("alone although others have called it dead")
	}
}

// Sockets on other nodes are found by user, session, alias, conference and everything that narrows that; own and closed ones are not.
func TestElsewhere(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	calm := func(node string) func(*Presence) { // however slow the machine is, both live
		return func(p *Presence) { p.cfg.Node, p.cfg.NodeTimeout = node, 20*time.Second }
	}
	a, b := start(t, db, calm("n1")), start(t, db, calm("n2"))
	a.open(t, "anna")
	anna, _ := b.open(t, "anna")
	ben, second := b.open(t, "ben")
	_, third := a.open(t, "ben")
	if second.Elsewhere != 0 || third.Elsewhere != 1 {
		t.Errorf("ben had %d and %d sessions elsewhere", second.Elsewhere, third.Elsewhere)
	}
	carl, _ := b.open(t, "carl")
	b.Close(carl, Left)
	b.becomes(t, "carl", Offline)
	if err := b.SetAlias(t.Context(), ben, "old"); err != nil {
		t.Fatal(err)
	}
	if err := b.SetAlias(t.Context(), ben, "token"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to   hall.Audience
		want []string
	}{
		"users":      {hall.Audience{Users: []string{"anna", "carl", "nobody"}}, []string{anna}},
		"session":    {hall.Audience{Sessions: []string{ben, carl}}, []string{ben}},
		"alias":      {hall.Audience{Aliases: []string{"token", "old"}}, []string{ben}},
		"conference": {hall.Audience{All: true, ConferenceID: "c"}, []string{anna, ben}},
		"except":     {hall.Audience{All: true, Except: []string{"anna"}}, []string{ben}},
		"except of":  {hall.Audience{All: true, ExceptOf: ben}, []string{anna}},
		"other kind": {hall.Audience{All: true, ClientTypes: []string{"app"}}, nil},
		"other room": {hall.Audience{Users: []string{"anna"}, ConferenceID: "d"}, nil},
		"lobby":      {hall.Audience{Lobby: true}, nil},
		"nobody":     {hall.Audience{}, nil},
	} {
		found, err := a.Elsewhere(t.Context(), c.to)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range found {
			if ids = append(ids, s.SessionID); s.Node != "n2" {
				t.Errorf("%s: a socket of node %q", name, s.Node)
			}
		}
		slices.Sort(ids)
		slices.Sort(c.want)
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: found %v, want %v", name, ids, c.want)
		}
	}
	users, err := a.AliasesElsewhere(t.Context(), []string{"token", "old"})
	if err != nil || len(users) != 1 || !slices.Equal(users["token"], []string{"ben"}) {
		t.Errorf("under the aliases are %v, %v", users, err)
	}
	if n, err := a.UsersThere(t.Context(), "c"); err != nil || n != 2 {
		t.Errorf("%d users are there, %v", n, err)
	}
}

// A kick that another node has carried out, and of which this one heard nothing, used to be undone when sockets and rows were
// compared: the session was opened again. Now its socket is ended.
func TestKickByAnotherNode(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	var mu sync.Mutex
	var ended []string
	a := start(t, db, func(p *Presence) {
		p.cfg.Ended = func(ids []string) { mu.Lock(); ended = append(ended, ids...); mu.Unlock() }
	})
	b := start(t, db, func(p *Presence) { p.cfg.Node = "n2" })
	anna, _ := a.open(t, "anna")
	ben, _ := a.open(t, "ben")
	if ids, err := b.CloseUsers(t.Context(), []string{"anna"}, ""); err != nil || !slices.Equal(ids, []string{anna}) {
		t.Fatalf("closed %v, %v", ids, err)
	}
	storetest.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return slices.Equal(ended, []string{anna}) }, "her socket is ended")
	if a.Holds(anna) || !a.Holds(ben) || a.state(t, "anna") != Offline || a.state(t, "ben") != Online {
		t.Errorf("anna is held: %v, ben: %v, she is %s, he is %s", a.Holds(anna), a.Holds(ben), a.state(t, "anna"), a.state(t, "ben"))
	}
	if n := ask(t, db, "SELECT COUNT(*) FROM presence_sessions WHERE id = ? AND closed_at IS NULL", anna); n != 0 {
		t.Error("her session was opened again")
	}
}
