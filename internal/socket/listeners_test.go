package socket

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rescue"
)

func newListeners() *listeners {
	return &listeners{net: rescue.New(slog.New(slog.DiscardHandler), nil)}
}

// Whatever is done to them, our listeners hear what the library's would.
func TestListenersAreTheLibrarys(t *testing.T) {
	for range 200 {
		var heard [2][]string
		emitters := [2]types.EventEmitter{newListeners(), types.NewEventEmitter()}
		calls := [2][3]types.EventListener{}
		for i := range emitters { // as one is told from another by its code, each has its own
			note := func(who string, args []any) { heard[i] = append(heard[i], fmt.Sprint(who, args)) }
			calls[i] = [3]types.EventListener{
				func(args ...any) { note("a", args) }, func(args ...any) { note("b", args) }, func(args ...any) { note("c", args) },
			}
		}
		for n := range 30 {
			event, who, what := types.EventName([]string{"x", "y"}[rand.IntN(2)]), rand.IntN(2), rand.IntN(9)
			var got [2]string
			for i, e := range emitters {
				switch what {
				case 0:
					got[i] = fmt.Sprint(e.On(event, calls[i][who]))
				case 1:
					got[i] = fmt.Sprint(e.Once(event, calls[i][2], nil)) // of one that also listens on, the library may end the wrong one
				case 2:
					got[i] = fmt.Sprint(e.AddListener(event))
				case 3:
					got[i] = fmt.Sprint(e.RemoveListener(event, calls[i][(who+n)%3]))
				case 4:
					got[i] = fmt.Sprint(e.ListenerCount(event), len(e.Listeners(event)))
				case 5:
					if rand.IntN(5) == 0 {
						e.Emit("nobody listens")
					}
				default:
					e.Emit(event, n, "text")
				}
			}
			if got[0] != got[1] {
				t.Fatalf("step %d, %d to %s: ours says %s, the library's %s", n, what, event, got[0], got[1])
			}
		}
		if !slices.Equal(heard[0], heard[1]) {
			t.Fatalf("ours heard %v, the library's %v", heard[0], heard[1])
		}
	}
}

func TestListenersGo(t *testing.T) {
	l := newListeners()
	heard := 0
	_ = l.Once("x", func(...any) { l.Emit("x"); heard++ }) // it is not called again from within
	_ = l.On("y", func(...any) { heard++ })
	l.Emit("x")
	if names := l.EventNames(); heard != 1 || !slices.Equal(names, []types.EventName{"y"}) || l.Len() != 1 {
		t.Errorf("heard %d times, and %v is left", heard, names)
	}
	if !l.RemoveAllListeners("y") || l.RemoveAllListeners("y") {
		t.Error("all who listen to y go once")
	}
	_ = l.On("z", func(...any) { heard++ })
	l.Clear()
	l.Emit("z")
	if heard != 1 || l.Len() != 0 {
		t.Errorf("heard %d times, %d are left", heard, l.Len())
	}
}

// A panic of a listener is its own.
func TestListenersPanic(t *testing.T) {
	l := newListeners()
	heard := false
	_ = l.On("x", func(...any) { panic("a bug") }, func(...any) { heard = true })
	l.Emit("x")
	if !heard {
		t.Error("who came after a panic heard nothing")
	}
}
