//go:build !linux

package conference

import "time"

// busy returns how long f took.
func busy(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
