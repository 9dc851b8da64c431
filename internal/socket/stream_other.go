//go:build !unix

package socket

import "errors"

const readsWithoutWaiting = false

func (s *stream) readReady() (*[bufferSize]byte, int, error) { return nil, 0, errors.ErrUnsupported }

func (s *stream) tryWrite([]byte) (int, error) { return 0, nil }
