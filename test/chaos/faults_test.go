package chaos_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// fault is something that is done to a town, and undone by what it returns.
type fault struct {
	name string
	does func(town *town) (undo func())
}

// linksOf are lines of a node that can be cut.
type linksOf func(n *node) *link

func toRows(n *node) *link  { return n.rows }
func toCache(n *node) *link { return n.cache }

// refused breaks a line of every node.
func refused(of linksOf) fault { return fault{"refused", broken(of, (*link).refuse)} }

// blackHoled lets nothing through, and says nothing.
func blackHoled(of linksOf) fault { return fault{"black-holed", broken(of, (*link).swallow)} }

func broken(of linksOf, how func(*link)) func(*town) func() {
	return func(town *town) func() {
		for _, n := range town.nodes {
			how(of(n))
		}
		return func() {
			for _, n := range town.nodes {
				of(n).mend()
			}
		}
	}
}

// again does something at once, and again a pause after it was done, until it is undone. What fails is tried again with the next turn.
func again(pause time.Duration, does func(ctx context.Context)) func(*town) func() {
	return func(town *town) func() {
		ctx, cancel := context.WithCancel(town.ctx)
		done := make(chan struct{})
		if !town.hands.Go(func() {
			defer close(done)
			for ctx.Err() == nil {
				does(ctx)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		}) {
			town.t.Fatal("the town is over")
		}
		return func() { cancel(); <-done }
	}
}

// lostCommit is a toxic on the way to a database: a COMMIT gets there, and the connection ends before its answer can come back.
// Every third one is, so that who tries again comes through.
type lostCommit struct {
	seen atomic.Int64
}

const lostCommitName = "lost_commit"

// commit is how the driver says it: the kind of a query, and its text.
var commit = []byte("\x03COMMIT")

// Pipe implements toxics.Toxic.
func (l *lostCommit) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			lost := bytes.HasSuffix(c.Data, commit) && l.seen.Add(1)%3 == 0
			stub.Output <- &stream.StreamChunk{Data: c.Data, Timestamp: c.Timestamp}
			if lost {
				stub.Close()
				return
			}
		}
	}
}
