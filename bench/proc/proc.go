// Package proc says what a process of this machine uses, as Linux counts it.
package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that all threads of a process, also those that ended, have used: user and system.
//
// It is the process's CPU clock and not utime + stime of /proc/PID/stat, which is the same sum in steps of 10 ms: a push to
// 100 sockets takes less than one.
func CPU(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED; the clock of a process is named by its number, turned over, above three bits
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &at); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d, which may have ended: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// RSS returns the resident memory of a process in bytes.
func RSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d, which may have ended: %w", pid, err)
	}
	return field(text, "VmRSS")
}

// field returns a size of /proc/PID/status in bytes.
func field(status []byte, name string) (int64, error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		value, found := strings.CutPrefix(lines.Text(), name+":")
		if !found {
			continue
		}
		kib, isKiB := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(kib, 10, 64)
		if err != nil || !isKiB {
			return 0, fmt.Errorf("%s is %q, not a number of kB", name, value)
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("there is no %s", name)
}

// Descriptors returns how many files and sockets a process has open.
func Descriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, fmt.Errorf("count the descriptors of process %d, which may have ended: %w", pid, err)
	}
	return len(entries), nil
}

// Model returns the name of the machine's processor.
func Model() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
