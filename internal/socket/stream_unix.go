//go:build unix

package socket

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

const readsWithoutWaiting = true

// readReady takes a buffer only when there is something to read.
func (s *stream) readReady() (b *[bufferSize]byte, n int, err error) {
	waited := s.raw.Read(func(fd uintptr) bool {
		b = buffers.Get().(*[bufferSize]byte)
		n, err = again(func() (int, error) { return syscall.Read(int(fd), b[:]) })
		if errors.Is(err, syscall.EAGAIN) {
			buffers.Put(b)
			b = nil
			return false
		}
		return true
	})
	switch {
	case waited != nil:
		return b, 0, waited
	case err == nil && n == 0:
		return b, 0, io.EOF
	}
	return b, n, err
}

// write is one try to write without waiting. They are reused, with the function that the runtime calls.
type write struct {
	b   []byte
	n   int
	err error
	do  func(fd uintptr) bool
}

var writes = sync.Pool{New: func() any {
	w := new(write)
	w.do = func(fd uintptr) bool {
		w.n, w.err = again(func() (int, error) { return syscall.Write(int(fd), w.b) })
		if errors.Is(w.err, syscall.EAGAIN) {
			w.n, w.err = 0, nil
		}
		return true
	}
	return w
}}

// tryWrite writes as much of b as can be written without waiting. It waits for nothing but a write that is under way.
func (s *stream) tryWrite(b []byte) (n int, err error) {
	if s.raw == nil {
		return 0, nil
	}
	w := writes.Get().(*write)
	w.b, w.n, w.err = b, 0, nil
	err = s.raw.Write(w.do)
	if err == nil {
		err = w.err
	}
	n = max(w.n, 0)
	w.b = nil
	writes.Put(w)
	return n, err
}

// again repeats a system call that a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR { //nolint:errorlint // an errno, as it comes
			return n, err
		}
	}
}
