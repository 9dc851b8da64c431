package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"rollcall/bench/load"
)

// size is a tree whose topicInfo has so many bytes.
type size int

func (s size) String() string {
	if s < 1<<10 {
		return fmt.Sprintf("%d B", int(s))
	}
	return fmt.Sprintf("%d KiB", int(s)>>10)
}

// content is a patch that gives a tree that size.
func (s size) content(seq int) string {
	topic := func(pad string) string { return `{"seq":"` + load.Seq(seq) + `","pad":"` + pad + `"}` }
	pad := max(0, int(s)-len(topic("")))
	return `{"topicInfo":` + topic(strings.Repeat("x", pad)) + `}`
}

var (
	versionField = regexp.MustCompile(`"version":\d+`)
	onlineField  = regexp.MustCompile(`"onLineNumber":\d+`)
)

// template returns the message that rollcall sends for a tree of that size, as one of its clients got it.
func (b *bench) template(ctx context.Context, s *server, z size) (string, error) {
	conference, seq := fmt.Sprintf("template-%d", z), b.next(1)
	var got atomic.Pointer[string]
	fleet := load.NewFleet(func(_ *load.Conn, message []byte) {
		if text := string(message); strings.Contains(text, load.Seq(seq)) {
			got.Store(&text)
		}
	})
	defer fleet.Close()
	if err := fleet.Add(ctx, 1, 1, func(int) load.Way { return s.way("somebody", conference) }); err != nil {
		return "", err
	}
	if err := s.patch(ctx, conference, z.content(seq)); err != nil {
		return "", err
	}
	if err := load.Until(ctx, 5*time.Second, func() bool { return got.Load() != nil }); err != nil {
		return "", fmt.Errorf("wait for a tree of %v: %w", z, err)
	}
	return *got.Load(), nil
}

// prepare gives a conference of so many clients the tree whose versions are pushed then.
func (s *server) prepare(ctx context.Context, conference, template string, z size, clients int) error {
	if s.kind == rollcall {
		return s.patch(ctx, conference, z.content(0))
	}
	// As long as what rollcall sends after some time.
	text := versionField.ReplaceAllString(template, `"version":1000`)
	text = onlineField.ReplaceAllString(text, fmt.Sprintf(`"onLineNumber":%d`, clients))
	if s.kind == node { // the event and its frame are made by the library
		text = strings.TrimSuffix(strings.TrimPrefix(text, `42["note_tree",`), `]`)
	}
	s.bodies[conference] = text
	return nil
}
