package cluster

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// channels is how many there are for conferences, which share them by their hash: Redis can spread them over shards, and
	// a node has few to subscribe to, however many conferences there are.
	channels = 32
	// newsMost is how many conferences news waits about; beyond it, everybody finds out by looking.
	newsMost = 10_000
	// breakerPause is how long Redis is left alone after it failed.
	breakerPause = time.Second
)

// news is what the other nodes are to be told by Redis. It may be lost: whoever is not told looks by himself a little later. Safe
// for concurrent use.
type news struct {
	wake chan struct{} // of capacity 1

	mu          sync.Mutex      // guards the rest
	conferences map[string]bool // by id, whether content changed and not only who is there
	mail        map[string]bool // nodes that have letters; "" is all
}

func newNews() news {
	return news{wake: make(chan struct{}, 1), conferences: map[string]bool{}, mail: map[string]bool{}}
}

// Wake tells the other nodes that a conference has changed: content, or only who is there. It does not block.
func (c *Cluster) Wake(conferenceID string, content bool) {
	if c.Redis == nil || c.IsAlone() {
		return
	}
	c.news.mu.Lock()
	if len(c.news.conferences) < newsMost {
		c.news.conferences[conferenceID] = c.news.conferences[conferenceID] || content
	}
	c.news.mu.Unlock()
	nudge(c.news.wake)
}

// mailFor notes that there are letters for a node.
func (n *news) mailFor(node string) {
	n.mu.Lock()
	n.mail[node] = true
	n.mu.Unlock()
	nudge(n.wake)
}

func (n *news) take() (conferences, mail map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	conferences, mail = n.conferences, n.mail
	n.conferences, n.mail = map[string]bool{}, map[string]bool{}
	return conferences, mail
}

// mailChannel is where a node, "" being every one, hears that it has letters.
func (c *Cluster) mailChannel(node string) string {
	if node == "" {
		return c.Prefix + ":mail"
	}
	return c.Prefix + ":mail:" + node
}

func (c *Cluster) changedChannel(number int) string {
	return c.Prefix + ":changed:" + strconv.Itoa(number)
}

func channelOf(conferenceID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(conferenceID)) // never fails
	return int(h.Sum32() % channels)
}

// messages returns what is to be said on which channel. A message about conferences is the node it comes from, and a line for
// each: c or p, for content or people, and its id.
func (c *Cluster) messages() map[string]string {
	conferences, mail := c.news.take()
	out := map[string]string{}
	for node := range maps.Keys(mail) {
		out[c.mailChannel(node)] = c.Node
	}
	lines := map[int]*strings.Builder{}
	for id, content := range conferences {
		n := channelOf(id)
		if lines[n] == nil {
			lines[n] = &strings.Builder{}
			lines[n].WriteString(c.Node)
		}
		lines[n].WriteString("\n" + map[bool]string{true: "c", false: "p"}[content] + id)
	}
	for n, text := range lines {
		out[c.changedChannel(n)] = text.String()
	}
	return out
}

// publish tells news until ctx ends. What comes while Redis is asked goes out together.
func (c *Cluster) publish(ctx context.Context) {
	var resume time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.news.wake:
		}
		messages := c.messages()
		if time.Now().Before(resume) || len(messages) == 0 {
			continue
		}
		err := c.Net.Try("tell other nodes", func() error { return c.say(ctx, messages) })
		if err != nil && ctx.Err() == nil {
			c.metrics.failed.Inc()
			resume = time.Now().Add(breakerPause)
		}
		if ctx.Err() == nil {
			c.note("tell other nodes by Redis, they find out by themselves", err)
		}
	}
}

func (c *Cluster) say(ctx context.Context, messages map[string]string) error {
	pipe := c.Redis.Pipeline()
	for channel, text := range messages {
		pipe.Publish(ctx, channel, text)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	c.metrics.wakes.Add(float64(len(messages)))
	return nil
}
