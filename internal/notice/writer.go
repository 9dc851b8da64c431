package notice

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/fault"
	"rollcall/internal/rescue"
)

const (
	laterQueue = 10_000                 // entries that wait at most
	laterBytes = 64 << 20               // bytes of their messages at most
	laterBatch = 200                    // entries of one transaction
	linger     = 500 * time.Millisecond // how long a batch waits to be joined by others
	retryPause = time.Second            // between attempts while the database is away
	lastWrites = 3 * time.Second        // for what waits when Run ends
)

// writer keeps log rows that nobody waits for and writes them in batches.
type writer struct {
	append  func(context.Context, []Entry) error
	dropped prometheus.Counter
	net     *rescue.Net
	log     *slog.Logger
	queue   chan Entry
	bytes   atomic.Int64 // of the messages in queue
}

func newWriter(appendTo func(context.Context, []Entry) error, dropped prometheus.Counter, net *rescue.Net, log *slog.Logger) *writer {
	return &writer{append: appendTo, dropped: dropped, net: net, log: log, queue: make(chan Entry, laterQueue)}
}

// AppendLater has Run write the entry soon. It never blocks: when 10,000 entries or 64 MiB of messages wait already,
// the entry is dropped and counted. It is for what the service itself does and could do without.
func (n *Notices) AppendLater(e Entry) { n.later.add(name(e)) }

// Run writes what Post and AppendLater were given until ctx ends, and then, for at most 3 s, what still waits; Post
// then refuses. While the database is away it keeps what AppendLater was given and tries again each second. It
// returns nil. It trims the log, and ends what was kept for users who did not come back, too. Call it once.
func (n *Notices) Run(ctx context.Context) error {
	var others sync.WaitGroup
	others.Go(func() { n.net.Call("post notices", func() { n.poster.run(ctx) }) })
	others.Go(func() { _ = n.net.Try("trim the notice log", func() error { return n.Trim(ctx) }) })
	others.Go(func() { n.net.Call("end what was kept", func() { n.lapses(ctx) }) })
	n.later.run(ctx)
	others.Wait()
	return nil
}

func (w *writer) add(e Entry) {
	size := int64(e.size())
	if w.bytes.Add(size) <= laterBytes {
		select {
		case w.queue <- e:
			return
		default:
		}
	}
	w.bytes.Add(-size)
	w.dropped.Inc()
}

func (w *writer) run(ctx context.Context) {
	var batch []Entry
	for away := false; ctx.Err() == nil; {
		if len(batch) == 0 {
			batch = w.gather(ctx)
		}
		var err error
		batch, err = w.write(ctx, batch)
		if err != nil && !away && ctx.Err() == nil {
			w.log.Warn("the notice log cannot be written, its rows wait in memory", slog.Any("error", err))
		}
		if away = err != nil; away {
			pause(ctx)
		}
	}
	w.finish(ctx, batch)
}

// finish writes batch and what still waits, or counts it as dropped when that cannot be done in time.
func (w *writer) finish(ctx context.Context, batch []Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	for {
		if batch = w.fill(batch); len(batch) == 0 {
			return
		}
		var err error
		if batch, err = w.write(ctx, batch); err != nil {
			lost := len(batch) + len(w.queue)
			w.dropped.Add(float64(lost))
			w.log.Warn("rows of the notice log were not written before the end", slog.Int("rows", lost), slog.Any("error", err))
			return
		}
	}
}

// gather waits for an entry, and then a little for others. It returns what it has when ctx ends.
func (w *writer) gather(ctx context.Context) []Entry {
	var batch []Entry
	select {
	case <-ctx.Done():
		return nil
	case e := <-w.queue:
		batch = append(batch, w.take(e))
	}
	enough := time.NewTimer(linger)
	defer enough.Stop()
	for len(batch) < laterBatch {
		select {
		case e := <-w.queue:
			batch = append(batch, w.take(e))
		case <-enough.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// fill adds to the batch what waits at this moment.
func (w *writer) fill(batch []Entry) []Entry {
	for len(batch) < laterBatch {
		select {
		case e := <-w.queue:
			batch = append(batch, w.take(e))
		default:
			return batch
		}
	}
	return batch
}

// write writes the batch. A row that the database refuses is dropped, so that it does not keep the others out.
// With an error, the database is away and what is returned is still to be written.
func (w *writer) write(ctx context.Context, batch []Entry) ([]Entry, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	err := w.net.Try("write the notice log", func() error { return w.append(ctx, batch) })
	switch {
	case err == nil:
		return nil, nil
	case fault.Is(err, fault.Unavailable):
		return batch, err
	case len(batch) == 1:
		w.dropped.Inc()
		w.log.Error("a row of the notice log was refused", slog.String("event", batch[0].Event), slog.Any("error", err))
		return nil, nil
	}
	for i := range batch {
		if _, err := w.write(ctx, batch[i:i+1]); err != nil {
			return batch[i:], err
		}
	}
	return nil, nil
}

func (w *writer) take(e Entry) Entry {
	w.bytes.Add(-int64(e.size()))
	return e
}

// pause waits until it makes sense to try again.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
}
