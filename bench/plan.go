package main

import "time"

// plan is how much of everything is done.
type plan struct {
	rounds int
	judge  bool          // small numbers say nothing about targets
	rest   time.Duration // after clients have come

	sockets    [2]int // few and many, for slope and intercept
	sizes      []size
	warm       time.Duration
	cpuWindow  time.Duration
	lastWindow time.Duration // of latencies: long enough for 1 % to be some
}

// target is the size that targets are about.
const target size = 4 << 10

func planned(short bool, rounds int, window, soak time.Duration) plan {
	p := plan{
		rounds: rounds, judge: true, rest: 1500 * time.Millisecond,
		sockets: [2]int{100, 1000}, sizes: []size{64, target, 32 << 10},
		warm: time.Second / 2, cpuWindow: 3 * time.Second, lastWindow: 10 * time.Second,
	}
	if short {
		p.rounds, p.judge, p.rest = 1, false, 200*time.Millisecond
		p.sockets, p.sizes = [2]int{10, 50}, []size{64, target}
		p.warm, p.cpuWindow, p.lastWindow = time.Second/5, time.Second, time.Second
	}
	if window > 0 {
		p.cpuWindow, p.lastWindow = window, window
	}
	return p
}
