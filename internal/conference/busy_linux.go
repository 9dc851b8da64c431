package conference

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// busy returns for how long a core was busy with f. While others want it too, that is far less than f took.
func busy(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, before := time.Now(), threadTime()
	f()
	if after := threadTime(); before > 0 && after > 0 {
		return after - before
	}
	return time.Since(start)
}

// threadTime returns how much of the processor the thread has had, 0 if the system does not tell.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
