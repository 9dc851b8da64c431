package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// silence is how long nothing may come from Redis before it is asked for a sign of life, and how long that may take.
const silence = time.Second

var errSilent = errors.New("redis does not answer")

// listen hears what other nodes say until ctx ends, and subscribes anew when the line breaks.
func (c *Cluster) listen(ctx context.Context) {
	names := []string{c.mailChannel(""), c.mailChannel(c.Node)}
	for n := range channels {
		names = append(names, c.changedChannel(n))
	}
	for ctx.Err() == nil {
		err := c.Net.Try("listen to other nodes", func() error { return c.hear(ctx, names) })
		if ctx.Err() != nil {
			return
		}
		c.metrics.failed.Inc()
		c.note("listen to other nodes by Redis, news is looked for", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// hear subscribes and hears until something fails.
func (c *Cluster) hear(ctx context.Context, names []string) error {
	sub := c.Redis.Subscribe(ctx, names...)
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { // receiving does not heed it
		defer c.Net.Catch("stop listening")
		_ = sub.Close()
	})()
	asked := false
	for ctx.Err() == nil {
		message, err := sub.ReceiveTimeout(ctx, silence)
		switch timeout := timedOut(err); {
		case timeout && asked:
			return errSilent
		case timeout:
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
			asked = true
			continue
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		}
		asked = false
		switch m := message.(type) {
		case *redis.Subscription:
			if m.Count < len(names) {
				continue
			}
			// What was said before this was not heard: everything is looked at once more.
			nudge(c.missed)
			nudge(c.mail)
			c.note("listen to other nodes by Redis, news is looked for", nil)
		case *redis.Message:
			c.metrics.woken.Inc()
			c.take(m.Channel, m.Payload)
		}
	}
	return ctx.Err()
}

func timedOut(err error) bool {
	var e net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

// take hands on what another node has said.
func (c *Cluster) take(channel, text string) {
	from, rest, _ := strings.Cut(text, "\n")
	if from == c.Node {
		return
	}
	if channel == c.mailChannel("") || channel == c.mailChannel(c.Node) {
		nudge(c.mail)
		return
	}
	for line := range strings.SplitSeq(rest, "\n") {
		if line != "" && c.Changed != nil {
			c.Changed(line[1:], line[0] == 'c')
		}
	}
}
