// Command bench runs rollcall, a Socket.IO server of Node and the floor side by side, and prints what each of them costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	server, floor, node string // programs
	root                string // of the repository
	dir                 string // for what servers write
	plan                plan
	services            *services
	began               time.Time
	seq                 int // the last number of a push that was given out
}

// next gives out n numbers of pushes and returns the first.
func (b *bench) next(n int) int {
	first := b.seq + 1
	b.seq += n
	return first
}

// say tells what goes on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7s  %s\n", time.Since(b.began).Round(time.Second), fmt.Sprintf(format, args...))
}

// part is a piece of the whole that can be run by itself.
type part struct {
	name string
	run  func(context.Context, *bench) ([]*row, error)
}

var parts = []part{
	{"cpu", cpu},
	{"latency", latency},
	{"memory", memory},
	{"storm", storm},
	{"patch", patch},
	{"growth", growth},
	{"hot", hot},
}

func names() string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return strings.Join(all, ",")
}

var errNotHeld = errors.New("a target was not held")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := run
	if args := os.Args[1:]; len(args) > 0 && args[0] == crowdCommand {
		work = func(ctx context.Context, args []string) error { return runCrowd(ctx, args[1:], os.Stdin, os.Stdout) }
	}
	if err := work(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	b := &bench{began: time.Now()}
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.StringVar(&b.server, "server", "", "program of rollcall")
	f.StringVar(&b.floor, "floor", "", "program of the floor")
	f.StringVar(&b.node, "node", "", "script of the Node server")
	f.StringVar(&b.root, "root", "..", "folder of the repository")
	only := f.String("run", names(), "parts to run, with commas between")
	rounds := f.Int("rounds", 5, "times that everything is measured, in turns")
	window := f.Duration("window", 0, "how long one thing is measured; 0 is what suits it")
	short := f.Bool("short", false, "a minute with small numbers that shows whether it works; figures are not judged")
	soak := f.Duration("soak", 0, "run the long part, and nothing else, for so long")
	if err := f.Parse(args); err != nil {
		return err
	}
	b.plan = planned(*short, *rounds, *window)
	whole := *only == names() && !*short
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "rollcall-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.services, err = openServices(ctx); err != nil {
		return err
	}
	if *soak > 0 {
		return b.measureLong(ctx, *soak, !*short)
	}
	return b.measure(ctx, chosen, whole)
}

// choose returns the parts that were asked for.
func choose(only string) ([]part, error) {
	var chosen []part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q: -run takes some of %s", name, names())
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// measure runs the parts and prints the table. Of the whole it is also written to docs/performance.md.
func (b *bench) measure(ctx context.Context, chosen []part, whole bool) error {
	var rows []*row
	for _, p := range chosen {
		b.say("%s", p.name)
		found, err := p.run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		rows = append(rows, found...)
	}
	text := table(rows, b.plan.judge)
	fmt.Print(text)
	if whole {
		if err := b.report(ctx, sections[0], fmt.Sprintf("%d rounds in %v.\n\n%s", b.plan.rounds, time.Since(b.began).Round(time.Second), text)); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(rows, func(r *row) bool { return len(r.faults) > 0 || b.plan.judge && !r.held() }) {
		return errNotHeld
	}
	return nil
}

// measureLong is measure for the long run.
func (b *bench) measureLong(ctx context.Context, long time.Duration, write bool) error {
	text, held := b.soak(ctx, long)
	if text == "" {
		return held
	}
	fmt.Print(text)
	if write {
		n := fmt.Sprintf("%d sockets for %v, of which 1 %% change every second, and 5 changes of trees a second.\n\n", b.plan.soak, long)
		if err := b.report(ctx, sections[1], n+text); err != nil {
			return err
		}
	}
	return held
}
