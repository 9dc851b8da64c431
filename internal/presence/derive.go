package presence

// standing is what is said of a user in a conference, as it stands in his presence row.
type standing struct {
	state     State
	since     int64  // when state began
	arrivedAt int64  // when he last came from offline
	dueAt     int64  // when his grace is over; 0 unless reconnecting
	why       Reason // why he is not online
}

// deed is what one transaction did to a user in a conference.
type deed struct {
	open    int    // his sessions that are open after it
	touched bool   // a session was opened or closed
	came    bool   // a session was opened
	closed  Reason // of the last session closed, "" when none was
	ended   Reason // he is to be gone now, without grace; "" when not
}

// derive returns what is to be said of a user after a deed. now and grace are milliseconds. It is the only rule
// by which anybody comes, is lost, or goes; time alone, a deed that did nothing, may end a grace.
func derive(was standing, d deed, now, grace int64) standing {
	arrived := was.arrivedAt
	if !was.state.here() {
		arrived = now
	}
	switch {
	case d.open > 0 && was.state == Online:
		return was
	case d.open > 0:
		return standing{state: Online, since: now, arrivedAt: arrived}
	case !was.state.here() && !d.came:
		return was // was not there, is not there
	case d.ended != "":
		return gone(arrived, now, d.ended)
	case d.closed != "" && Polite(d.closed):
		return gone(arrived, now, d.closed)
	case was.state == Reconnecting && !d.came && was.dueAt > now:
		return was
	case was.state == Reconnecting && !d.came:
		return gone(arrived, now, was.why)
	}
	why := d.closed
	if why == "" {
		why = Lost // online without a session: a row that was repaired
	}
	if grace == 0 {
		return gone(arrived, now, why)
	}
	return standing{state: Reconnecting, since: now, arrivedAt: arrived, dueAt: now + grace, why: why}
}

func gone(arrived, now int64, why Reason) standing {
	return standing{state: Offline, since: now, arrivedAt: arrived, why: why.shown()}
}
