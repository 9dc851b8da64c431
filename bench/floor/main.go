// Command floor is the least that a broadcast in Go costs: a bare WebSocket server that writes what is posted to it to a room.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

// rooms are the open connections by the name of their room.
type rooms struct {
	gws.BuiltinEventHandler
	mu     sync.Mutex // guards byName
	byName map[string]map[*gws.Conn]struct{}
}

// OnClose takes a connection out of its room.
func (r *rooms) OnClose(c *gws.Conn, _ error) {
	name, _ := c.Session().Load("room")
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName[name.(string)], c)
}

func (r *rooms) add(name string, c *gws.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName[name] == nil {
		r.byName[name] = map[*gws.Conn]struct{}{}
	}
	r.byName[name][c] = struct{}{}
}

func (r *rooms) push(name string, text []byte) {
	b := gws.NewBroadcaster(gws.OpcodeText, text)
	defer b.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.byName[name] {
		_ = b.Broadcast(c) // who is gone is taken out by OnClose
	}
}

func main() {
	r := &rooms{byName: map[string]map[*gws.Conn]struct{}{}}
	upgrader := gws.NewUpgrader(r, &gws.ServerOption{})
	http.HandleFunc("GET /ws", func(w http.ResponseWriter, q *http.Request) {
		c, err := upgrader.Upgrade(w, q)
		if err != nil {
			return
		}
		name := q.URL.Query().Get("room")
		c.Session().Store("room", name)
		r.add(name, c)
		go c.ReadLoop() // so that what the request needed can be freed
	})
	http.HandleFunc("POST /push", func(w http.ResponseWriter, q *http.Request) {
		text, err := io.ReadAll(q.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.push(q.URL.Query().Get("room"), text)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("open http://%s/\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
