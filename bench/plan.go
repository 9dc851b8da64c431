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

	idle, idleRoom int           // connections, and how many of them are in one conference
	idleRest       time.Duration // until their memory is looked at
	storm          int           // clients

	growth       []step // from one socket, which tells what a push costs by itself, to many
	growthWindow time.Duration
	small, crowd int // conferences of five, and the people of the hot one beside them
	hotWindow    time.Duration

	soak int // clients of the long run
}

// step is a number of sockets, and how often they are pushed to so that half of the machine is left.
type step struct {
	sockets int
	rate    float64
}

// target is the size that targets are about.
const target size = 4 << 10

func planned(short bool, rounds int, window time.Duration) plan {
	p := plan{
		rounds: rounds, judge: true, rest: 1500 * time.Millisecond,
		sockets: [2]int{100, 1000}, sizes: []size{64, target, 32 << 10},
		warm: time.Second / 2, cpuWindow: 2500 * time.Millisecond, lastWindow: 8 * time.Second,
		idle: 10_000, idleRoom: 20, idleRest: 8 * time.Second, storm: 5000,
		growth: []step{{1, 20}, {100, 20}, {1000, 10}, {10_000, 2}}, growthWindow: 4 * time.Second,
		small: 1000, crowd: 5000, hotWindow: 8 * time.Second,
		soak: 5000,
	}
	if short {
		p.rounds, p.judge, p.rest = 1, false, 200*time.Millisecond
		p.sockets, p.sizes = [2]int{10, 50}, []size{64, target}
		p.warm, p.cpuWindow, p.lastWindow = time.Second/5, time.Second, time.Second
		p.idle, p.idleRest, p.storm = 200, time.Second, 200
		p.growth, p.growthWindow = []step{{1, 10}, {20, 10}, {100, 10}}, time.Second
		p.small, p.crowd, p.hotWindow = 20, 100, time.Second
		p.soak = 200
	}
	if window > 0 {
		p.cpuWindow, p.lastWindow, p.growthWindow, p.hotWindow = window, window, window, window
	}
	return p
}
