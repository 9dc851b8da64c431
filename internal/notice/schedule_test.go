package notice

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/storetest"
)

// The promise of debounce, in virtual time: whatever users do and however late announcements come, never two of a
// kind in a window, and one second after the last window the last word is the truth.
func TestSchedulesInVirtualTime(t *testing.T) {
	const window = 10 * time.Second
	total := 0
	count := storetest.Size(10_000, 500)
	for seed := range count {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, uint64(seed), 200*time.Millisecond, Config{Window: window})
			s.play([]pair{{"42", "7"}, {"42", "8"}, {"43", "7"}}, 24, window+time.Second)
			for p := range s.world.truth {
				if err := s.check(p, window, true); err != nil {
					t.Errorf("schedule %d: %v", seed, err)
				}
				total += len(s.heard[p])
			}
		})
	}
	storetest.Show(t, "%d random schedules in virtual time, %d announcements: never two of a kind in a window, the last one always the truth", count, total)
}

// The same on real Redis and in real time, with two nodes that share the windows.
func TestSchedulesOnRedis(t *testing.T) {
	const window = 100 * time.Millisecond
	total := 0
	count := storetest.Size(500, 20)
	for wave := range (count + 49) / 50 {
		c := Config{Redis: storetest.Redis(t), Prefix: storetest.Prefix(t), RedisTimeout: 5 * time.Second, Window: window}
		s := newStage(t, uint64(wave), 20*time.Millisecond, c, c)
		var pairs []pair
		for i := range min(50, count-50*wave) {
			pairs = append(pairs, pair{fmt.Sprint(wave), fmt.Sprint(i)})
		}
		s.play(pairs, 30, window+time.Second)
		for _, p := range pairs {
			if err := s.check(p, window, false); err != nil {
				t.Errorf("wave %d: %v", wave, err)
			}
			total += len(s.heard[p])
		}
	}
	storetest.Show(t, "%d random schedules on real Redis with a window of %v, %d announcements: never two of a kind in a window, the last one always the truth", count, window, total)
}

// play has everybody come and go while every node sweeps, and then lets the time pass after which all must be said.
func (s *stage) play(pairs []pair, changes int, rest time.Duration) {
	var users, sweeps sync.WaitGroup
	done := make(chan struct{})
	for _, n := range s.nodes {
		for range 2 { // two sweeps that get into each other's way
			sweeps.Go(func() { s.sweep(n, done) })
		}
	}
	for _, p := range pairs {
		users.Go(func() { s.live(p, changes) })
	}
	users.Wait()
	<-time.After(rest)
	close(done)
	sweeps.Wait()
}
