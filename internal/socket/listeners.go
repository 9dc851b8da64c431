package socket

import (
	"reflect"
	"slices"
	"sync"

	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rescue"
)

// listeners is an EventEmitter for a handful of listeners: a list of them, where the library's has a map with a list for each event. A
// panic of one is caught, and keeps no other from hearing of an event. Safe for concurrent use.
type listeners struct {
	net *rescue.Net

	mu   sync.Mutex // guards the rest
	list []listener // elements never change: Emit may have them
	last uint32
}

type listener struct {
	event types.EventName
	call  types.EventListener
	once  bool
	id    uint32
}

// is compares as the library does, by the code of a function, which is all that can be compared of one.
func (l listener) is(event types.EventName, call types.EventListener) bool {
	return l.event == event && reflect.ValueOf(l.call).Pointer() == reflect.ValueOf(call).Pointer()
}

// On implements EventEmitter.
func (l *listeners) On(event types.EventName, calls ...types.EventListener) error {
	return l.add(event, false, calls)
}

// AddListener implements EventEmitter.
func (l *listeners) AddListener(event types.EventName, calls ...types.EventListener) error {
	return l.add(event, false, calls)
}

// Once implements EventEmitter.
func (l *listeners) Once(event types.EventName, calls ...types.EventListener) error {
	return l.add(event, true, calls)
}

func (l *listeners) add(event types.EventName, once bool, calls []types.EventListener) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, call := range calls {
		if call != nil {
			l.last++
			l.list = append(l.list, listener{event, call, once, l.last})
		}
	}
	return nil
}

// Emit implements EventEmitter: it calls who listens now, in the order in which they came.
func (l *listeners) Emit(event types.EventName, args ...any) {
	l.mu.Lock()
	list := l.list
	l.mu.Unlock()
	for _, each := range list {
		if each.event == event && (!each.once || l.remove(func(o listener) bool { return o.id == each.id })) {
			l.net.Call("listener", func() { each.call(args...) })
		}
	}
}

// RemoveListener implements EventEmitter.
func (l *listeners) RemoveListener(event types.EventName, call types.EventListener) bool {
	return l.remove(func(o listener) bool { return o.is(event, call) })
}

// remove removes the first of which that is true.
func (l *listeners) remove(which func(listener) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.list, which)
	if at < 0 {
		return false
	}
	l.list = slices.Concat(l.list[:at], l.list[at+1:])
	return true
}

// RemoveAllListeners implements EventEmitter.
func (l *listeners) RemoveAllListeners(event types.EventName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := len(l.list)
	l.list = slices.DeleteFunc(slices.Clone(l.list), func(o listener) bool { return o.event == event })
	return len(l.list) < had
}

// Listeners implements EventEmitter.
func (l *listeners) Listeners(event types.EventName) (calls []types.EventListener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, each := range l.list {
		if each.event == event {
			calls = append(calls, each.call)
		}
	}
	return calls
}

// ListenerCount implements EventEmitter.
func (l *listeners) ListenerCount(event types.EventName) int { return len(l.Listeners(event)) }

// EventNames implements EventEmitter.
func (l *listeners) EventNames() (names []types.EventName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, each := range l.list {
		if !slices.Contains(names, each.event) {
			names = append(names, each.event)
		}
	}
	return names
}

// Len implements EventEmitter.
func (l *listeners) Len() int { return len(l.EventNames()) }

// Clear implements EventEmitter.
func (l *listeners) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}

var _ types.EventEmitter = (*listeners)(nil)
