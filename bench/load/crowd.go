package load

import (
	"bytes"
	"strconv"
	"sync/atomic"
)

var (
	treeEvent   = []byte(`42["note_tree",`)
	onlineField = []byte(`"onLineNumber":`)
)

// Crowd counts the clients whose last tree shows so many people online.
type Crowd struct {
	want   int
	shown  atomic.Int64
	trees  atomic.Int64
	length atomic.Int64
}

// NewCrowd waits for trees that show want people.
func NewCrowd(want int) *Crowd { return &Crowd{want: want} }

// Handle is a Handler.
func (w *Crowd) Handle(c *Conn, message []byte) {
	if !bytes.HasPrefix(message, treeEvent) {
		return
	}
	w.trees.Add(1)
	w.length.Store(int64(len(message)))
	n := online(message)
	switch {
	case n == c.Online:
	case n == w.want:
		w.shown.Add(1)
	case c.Online == w.want:
		w.shown.Add(-1)
	}
	c.Online = n
}

// Shown returns how many clients are shown that number.
func (w *Crowd) Shown() int { return int(w.shown.Load()) }

// Trees returns how many full trees came.
func (w *Crowd) Trees() int64 { return w.trees.Load() }

// Length returns the bytes of the last tree.
func (w *Crowd) Length() int64 { return w.length.Load() }

// online returns the number of people that a tree shows, -1 if it shows none. It is looked for from the end, where it stands.
func online(tree []byte) int {
	i := bytes.LastIndex(tree, onlineField)
	if i < 0 {
		return -1
	}
	digits := tree[i+len(onlineField):]
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(digits[:end]))
	if err != nil {
		return -1
	}
	return n
}
