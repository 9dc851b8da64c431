package notice

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// callers is how many post at once in the comparison.
const callers = 64

// postAll has callers post count notices between them, one user each, and returns how many there were in a second.
func postAll(t testing.TB, count int, post func(context.Context, Posting) error) float64 {
	var left atomic.Int64
	left.Store(int64(count))
	var all sync.WaitGroup
	started := time.Now()
	for i := range callers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := post(t.Context(), Posting{Entry: to(fmt.Sprint("user", i))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(count) / time.Since(started).Seconds()
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// ways are those of writing a notice that the comparison is about.
func ways(n *Notices, db *store.DB) (grouped, alone func(context.Context, Posting) error) {
	grouped = func(ctx context.Context, p Posting) error {
		_, err := n.Post(ctx, p)
		return err
	}
	alone = func(ctx context.Context, p Posting) error {
		return db.Write(ctx, func(ctx context.Context, _ *gorm.DB) error { return grouped(ctx, p) })
	}
	return grouped, alone
}

// Many callers share a transaction. How much faster that is, the same run shows; that they share, it asserts.
func TestGroupCommit(t *testing.T) {
	db := storetest.Open(t, store.MySQL)
	n, single := open(db, time.Minute), open(db, time.Minute)
	single.poster.most = 1
	running(t, n)
	running(t, single)
	grouped, alone := ways(n, db)
	oneByOne, _ := ways(single, db)
	count := storetest.Size(6400, 640)
	postAll(t, callers, alone) // opens the connections
	var fast, slow, parallel []float64
	var shared int64
	const rounds = 5
	for range rounds {
		before := db.Transactions()
		fast = append(fast, postAll(t, count, grouped))
		shared += db.Transactions() - before
		slow = append(slow, postAll(t, count/4, oneByOne))
		parallel = append(parallel, postAll(t, count/2, alone))
	}
	storetest.Show(t, "%d callers, medians of %d alternating rounds: %.0f notices/s, %d notices in %d transactions; one commit per notice by the same writer %.0f/s (%.1f times), by every caller himself in 20 connections %.0f/s (%.1f times)",
		callers, rounds, median(fast), rounds*count, shared, median(slow), median(fast)/median(slow), median(parallel), median(fast)/median(parallel))
	if int(shared) > rounds*count/4 {
		t.Errorf("%d transactions for %d notices", shared, rounds*count)
	}
	sum := 0
	for i := range callers {
		sum += unreadOf(t, n, fmt.Sprint("user", i))
	}
	if want := callers + rounds*(count+count/4+count/2); sum != want {
		t.Errorf("%d notices in the inboxes, want %d", sum, want)
	}
}

// BenchmarkPost measures 64 callers together, in shared transactions and in one each.
func BenchmarkPost(b *testing.B) {
	for _, most := range []int{postBatch, 1} {
		b.Run(fmt.Sprint("most", most), func(b *testing.B) {
			db := storetest.Open(b, store.MySQL)
			n := open(db, time.Minute)
			n.poster.most = most
			running(b, n)
			grouped, _ := ways(n, db)
			b.ResetTimer()
			b.ReportMetric(postAll(b, b.N, grouped), "notices/s")
		})
	}
}
