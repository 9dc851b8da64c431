package notice

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/storetest"
)

func keysOn(client redis.UniversalClient, prefix string, window time.Duration) *keys {
	return New(Config{Redis: client, Prefix: prefix, RedisTimeout: 50 * time.Millisecond, Window: window, Log: silent()}).keys
}

// total returns what a counter stands at.
func total(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func granted(t *testing.T, k *keys, name string) bool {
	t.Helper()
	return k.claim(t.Context(), []string{name})[0].granted
}

// The key in Redis has the name and the time to live that operators look for.
func TestKeyInRedis(t *testing.T) {
	client, prefix := storetest.Redis(t), storetest.Prefix(t)
	k := keysOn(client, prefix, 10*time.Second)
	name := k.name(pair{"42", "7"}, OnlineNotice)
	if want := prefix + ":conference:42:7:online_notice"; name != want {
		t.Fatalf("name %q, want %q", name, want)
	}
	if !granted(t, k, name) {
		t.Fatal("a free window was refused")
	}
	if ttl := client.PTTL(t.Context(), name).Val(); ttl <= 9*time.Second || ttl > 10*time.Second {
		t.Errorf("time to live %v", ttl)
	}
	other := keysOn(client, prefix, 10*time.Second).claim(t.Context(), []string{name, name + "2"})
	if left := time.Until(other[0].free); other[0].granted || left <= 8*time.Second || left > 10*time.Second {
		t.Errorf("another node: %+v, free in %v", other[0], left)
	}
	if !other[1].granted {
		t.Error("a refused window beside it kept a free one from being granted")
	}
}

// A window that was claimed in vain is free again, for other nodes too.
func TestReleasedWindow(t *testing.T) {
	client, prefix := storetest.Redis(t), storetest.Prefix(t)
	k, other := keysOn(client, prefix, time.Minute), keysOn(client, prefix, time.Minute)
	asked := time.Now()
	if !granted(t, k, "a") || granted(t, other, "a") {
		t.Fatal("one node, and only one, must be granted the window")
	}
	k.release(t.Context(), []string{"a"}, asked.Add(-time.Minute))
	if granted(t, other, "a") {
		t.Fatal("a window that may be another's by now was given back")
	}
	k.release(t.Context(), []string{"a"}, asked)
	if !granted(t, other, "a") {
		t.Fatal("the window was not given back")
	}
}

// Emptying Redis does not make a node repeat what it said itself.
func TestEmptiedRedis(t *testing.T) {
	client, prefix := storetest.Redis(t), storetest.Prefix(t)
	k := keysOn(client, prefix, time.Minute)
	name := k.name(pair{"42", "7"}, OnlineNotice)
	if !granted(t, k, name) {
		t.Fatal("a free window was refused")
	}
	k.begin([]string{name})
	client.Del(t.Context(), name)
	if granted(t, k, name) {
		t.Error("granted twice")
	}
}

// Redis that accepts and never answers costs one timeout a second; in between memory decides.
func TestSilentRedis(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	client := redis.NewClient(&redis.Options{Addr: l.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	k := keysOn(client, "p", time.Minute)
	start := time.Now()
	for i, want := range []bool{true, false, false} {
		if got := granted(t, k, "a"); got != want {
			t.Errorf("claim %d: %v", i, got)
		}
	}
	if !granted(t, k, "b") {
		t.Error("a free window was refused")
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("four claims took %v", took)
	}
	if n := total(t, k.failed); n != 1 {
		t.Errorf("%v failures counted", n)
	}
}

// When Redis is back it is used again, about a second after it failed.
func TestRedisComesBack(t *testing.T) {
	line := storetest.NewLine(t, storetest.RedisAddr(t))
	client := redis.NewClient(&redis.Options{Addr: line.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	prefix := storetest.Prefix(t)
	k := keysOn(client, prefix, time.Minute)
	line.Cut()
	if !granted(t, k, prefix+"a") || granted(t, k, prefix+"a") {
		t.Fatal("memory must grant a window once")
	}
	line.Mend()
	tries := 0
	storetest.Eventually(t, func() bool {
		tries++
		name := prefix + "try" + time.Now().String()
		return granted(t, k, name) && storetest.Redis(t).Exists(t.Context(), name).Val() == 1
	}, "a key in Redis again")
	if tries == 1 {
		t.Error("Redis was asked again without a pause")
	}
}

// In memory a window ends to the moment, and those that are over do not pile up.
func TestMemoryWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keysOn(nil, "p", 10*time.Second)
		first := k.claim(t.Context(), []string{"a"})[0]
		<-time.After(10*time.Second - 1)
		if again := k.claim(t.Context(), []string{"a"})[0]; again.granted || !again.free.Equal(first.free) {
			t.Errorf("a moment before the end: %+v, want free at %v", again, first.free)
		}
		<-time.After(1)
		if !granted(t, k, "a") {
			t.Error("refused at the end of the window")
		}
		for i := range 100_000 {
			granted(t, k, string(rune(i)))
			<-time.After(10 * time.Millisecond)
		}
		if len(k.ends) > 3000 {
			t.Errorf("%d windows in memory, of which 1,000 are open", len(k.ends))
		}
	})
}
