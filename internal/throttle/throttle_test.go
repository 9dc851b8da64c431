package throttle

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/storetest"
)

// taken returns how many of n events of a key pass.
func taken(t *Throttle, key string, n int) (passed int) {
	for range n {
		if _, ok := t.Take(key); ok {
			passed++
		}
	}
	return passed
}

// Twice as many as in a second pass at once, then one after the other; who is refused is told when to come back, and that is true.
func TestTake(t *testing.T) {
	for _, rate := range []int{1, 2, 3, 5, 7, 20, 1000} {
		synctest.Test(t, func(t *testing.T) {
			th := New(rate)
			if n := taken(th, "a", 10*rate); n != 2*rate {
				t.Errorf("%d a second: %d pass at once", rate, n)
			}
			if n := taken(th, "b", 10*rate); n != 2*rate {
				t.Errorf("%d a second: %d of another key pass", rate, n)
			}
			wait, ok := th.Take("a")
			if ok || wait != time.Second {
				t.Errorf("%d a second: wait %v, %v", rate, wait, ok)
			}
			time.Sleep(wait)
			if n := taken(th, "a", 10*rate); n < rate-1 || n > rate {
				t.Errorf("%d a second: %d pass after a second", rate, n)
			}
			time.Sleep(time.Hour)
			if n := taken(th, "a", 10*rate); n != 2*rate {
				t.Errorf("%d a second: %d pass after an hour", rate, n)
			}
		})
	}
}

// Whatever comes when, no more than the burst and the rate over the time pass, and who keeps to the rate is never refused.
func TestNeverMoreThanAllowed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rate := rapid.IntRange(1, 50).Draw(r, "rate")
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 3000).Draw(r, "pause in ms"), rapid.IntRange(1, 120).Draw(r, "events"), rapid.IntRange(0, 1).Draw(r, "key")}
		}), 1, 30).Draw(r, "steps")
		synctest.Test(t, func(t *testing.T) {
			th, began := New(rate), time.Now()
			passed := map[int]int{}
			for _, s := range steps {
				time.Sleep(time.Duration(s[0]) * time.Millisecond)
				passed[s[2]] += taken(th, fmt.Sprint(s[2]), s[1])
				if most := 2*rate + int(time.Since(began)*time.Duration(rate)/time.Second); passed[s[2]] > most {
					t.Errorf("%d a second: %d of one key pass within %v", rate, passed[s[2]], time.Since(began))
				}
			}
		})
	})
}

func TestKeepingToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(7)
		for n := range 10_000 {
			if wait, ok := th.Take("a"); !ok {
				t.Fatalf("event %d is refused for %v", n, wait)
			}
			time.Sleep(time.Second/7 + 1)
		}
	})
}

// What is taken back was never taken, also of the bucket that strangers share.
func TestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(3)
		for range 20 {
			if n := taken(th, "a", 6); n != 6 {
				t.Fatalf("%d pass", n)
			}
			for range 6 {
				th.Back("a")
			}
			time.Sleep(300 * time.Millisecond)
		}
		th.Back("nobody")
		if n := taken(th, "a", 10); n != 6 || len(th.recent)+len(th.older) > 2 {
			t.Errorf("%d pass, %d are remembered", n, len(th.recent)+len(th.older))
		}
		th.most = 1
		for range 20 {
			if n := taken(th, "b", 6); n != 6 {
				t.Fatalf("%d of a stranger pass", n)
			}
			for range 6 {
				th.Back("b")
			}
		}
		New(0).Back("a")
	})
}

// Zero allows everything and remembers nobody.
func TestOff(t *testing.T) {
	for _, rate := range []int{0, -1} {
		th := New(rate)
		if n := taken(th, "a", 1000); n != 1000 || len(th.recent) != 0 {
			t.Errorf("rate %d: %d of 1000 pass, %d are remembered", rate, n, len(th.recent))
		}
	}
}

// Callers that are quiet are forgotten, and forgetting gives nobody more than he has.
func TestForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(10)
		for n := range 1000 {
			th.Take(fmt.Sprint(n))
		}
		busy := taken(th, "busy", 100)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			busy += taken(th, "busy", 10)
		}
		if busy > 20+100 {
			t.Errorf("%d of one key pass in 10 s", busy)
		}
		if kept := len(th.recent) + len(th.older); kept > 2 {
			t.Errorf("%d are remembered", kept)
		}
	})
}

// Strangers cannot fill it: beyond the most they share one bucket, while those who were known before keep their own.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := New(5)
		th.most = 1000
		if n := taken(th, "known", 3); n != 3 {
			t.Fatalf("%d pass", n)
		}
		passed := 0
		for n := range 5000 {
			passed += taken(th, fmt.Sprint("stranger ", n), 1)
		}
		if kept := len(th.recent) + len(th.older); kept > th.most || passed != 999+10 {
			t.Errorf("%d are remembered, %d strangers pass", kept, passed)
		}
		if n := taken(th, "known", 100); n != 7 {
			t.Errorf("%d of who was known pass, want the 7 he has left", n)
		}
		time.Sleep(2 * th.burst)
		if n := taken(th, "newcomer", 100); n != 10 {
			t.Errorf("once the crowd is gone %d of a newcomer pass", n)
		}
	})
	if th := New(1); th.most > 100_000 {
		t.Errorf("%d callers are told apart", th.most)
	}
}

// Many at once get no more than one would.
func TestAtOnce(t *testing.T) {
	th := New(1)
	th.interval, th.burst = time.Hour, time.Hour // so that no time passes
	var passed atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { passed.Add(int64(taken(th, "a", storetest.Size(100_000, 5000)))) })
	}
	wait.Wait()
	if n := passed.Load(); n != 1 {
		t.Errorf("%d pass", n)
	}
}

func TestAddress(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "::ffff:c000:207": "192.0.2.7", "127.0.0.1": "127.0.0.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:DB8:1:2::": "2001:db8:1:2::/64", "2001:db8:1:3::": "2001:db8:1:3::/64", "::1": "::/64", "fe80::1%eth0": "fe80::/64", "fe80::2%eth1": "fe80::/64",
		"": "", "unix": "unix", "192.0.2.7:80": "192.0.2.7:80", "192.0.2.07": "192.0.2.07", "[::1]": "[::1]",
	} {
		if got := Address(ip); got != want {
			t.Errorf("%q is %q, want %q", ip, got, want)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	keys := make([]string, 10_000)
	for n := range keys {
		keys[n] = Address(fmt.Sprintf("2001:db8::%x:0:0:0:1", n))
	}
	for name, among := range map[string]int{"one": 1, "many": len(keys)} {
		b.Run(name, func(b *testing.B) {
			th := New(100)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				th.Take(keys[n%among])
			}
		})
	}
}

// A refusal is what an attack is made of: it must cost next to nothing.
func BenchmarkRefused(b *testing.B) {
	th := New(1)
	th.interval, th.burst = time.Hour, time.Hour
	th.Take("a")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := th.Take("a"); ok {
			b.Fatal("it passes")
		}
	}
}
