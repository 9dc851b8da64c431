package webhook

import "sync"

// lanesAtOnce is how many lanes of one endpoint a node works on at the same time.
const lanesAtOnce = 8

// desk knows which lanes this node works on. Safe for concurrent use.
type desk struct {
	mu     sync.Mutex // guards what follows
	busy   map[lane]bool
	load   map[string]int // lanes by endpoint
	passed bool           // a lane was, or may have been, left for later because of what is busy
}

func newDesk() *desk { return &desk{busy: map[lane]bool{}, load: map[string]int{}} }

// open returns the keys of those endpoints that have room for one more lane, and how many lanes are busy.
func (d *desk) open(endpoints []*endpoint) (keys []string, busy int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range endpoints {
		if d.load[e.key] < lanesAtOnce {
			keys = append(keys, e.key)
		} else {
			d.passed = true
		}
	}
	return keys, len(d.busy)
}

// enter takes the lane, or returns false if it is busy or its endpoint has no room.
func (d *desk) enter(l lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[l] || d.load[l.endpoint] >= lanesAtOnce {
		d.passed = true
		return false
	}
	d.busy[l] = true
	d.load[l.endpoint]++
	return true
}

// leave gives the lane back, and reports whether somebody should look what was passed over.
func (d *desk) leave(l lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, l)
	d.load[l.endpoint]--
	look := d.passed
	d.passed = false
	return look
}
