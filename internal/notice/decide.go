package notice

// What was last said of a user in a conference. Nothing said yet counts as offline.
const (
	saidOnline  = "online"
	saidOffline = "offline"
)

// pair is one user in one conference.
type pair struct{ conference, user string }

// standing is where the announcements about a pair stand.
type standing struct {
	pair
	said   string // saidOnline, saidOffline or ""
	dueAt  int64  // when the pair must be looked at, in milliseconds; 0: all is said
	change int64  // number of the last change of the user's presence
	held   int64  // number of the last change whose suppression is in the log
}

// verdict is what is to be done about a pair.
type verdict int

const (
	rest      verdict = iota // what was last said is true
	say                      // tell the room
	summarise                // the room is too large to be told: count it as said
	hold                     // this kind was said a moment ago: look again when its window is over
)

// decide compares what was said with the truth. crowded says that the room is too large for announcements, claimed
// that the window of this kind was free and is now ours.
func decide(said string, online, crowded, claimed bool) verdict {
	switch {
	case (said == saidOnline) == online:
		return rest
	case crowded:
		return summarise
	case claimed:
		return say
	}
	return hold
}

// heeds reports whether a subject may change anything; see Announce for why these two conditions.
func (s standing) heeds(mark int64) bool {
	return s.dueAt != 0 && (mark == 0 || mark == s.change)
}

// after returns where the pair stands once the verdict is carried out. exact says that online is certain, so that
// nothing need be looked at again; otherwise a sweep does, after verifyAt. freeAt is the end of the window that holds.
func (s standing) after(v verdict, online, exact bool, verifyAt, freeAt int64) standing {
	if v == hold {
		s.dueAt, s.held = freeAt, s.change
		return s
	}
	if v == say || v == summarise {
		s.dueAt, s.said = verifyAt, word(online)
	}
	if exact {
		s.dueAt = 0
	}
	return s
}

func word(online bool) string {
	if online {
		return saidOnline
	}
	return saidOffline
}
