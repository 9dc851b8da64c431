package proc

import (
	"os"
	"testing"
	"time"
)

func TestField(t *testing.T) {
	const status = "Name:\tserver\nVmHWM:\t  200 kB\nVmRSS:\t  123456 kB\nThreads:\t7\nVmBad:\t 1 MB\n"
	if got, err := field([]byte(status), "VmRSS"); err != nil || got != 123456<<10 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, name := range []string{"VmSwap", "Threads", "VmBad"} {
		if got, err := field([]byte(status), name); err == nil {
			t.Errorf("%s is %d", name, got)
		}
	}
}

// What this process uses is known within bounds.
func TestOwnProcess(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; { // work
	}
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used <= 0 || used > time.Minute {
		t.Errorf("used %v", used)
	}
	if rss, err := RSS(os.Getpid()); err != nil || rss < 1<<20 {
		t.Errorf("resident are %d bytes, %v", rss, err)
	}
	if n, err := Descriptors(os.Getpid()); err != nil || n < 3 {
		t.Errorf("%d descriptors, %v", n, err)
	}
	if _, err := CPU(1 << 22); err == nil {
		t.Error("a process that is none has a clock")
	}
}
