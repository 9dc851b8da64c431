package system_test

import (
	"encoding/base64"
	"strings"
	"time"

	"rollcall/internal/auth"
)

// count counts a packet.
func (w *storm) count(kind string) {
	w.sent.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kinds[kind]++
}

// status counts an HTTP status.
func (w *storm) status(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[code]++
}

// overtaxed reports whether something took so long that timeouts closed the connection, and rightly so. It is counted: on a machine
// with nothing else to do it hardly happens.
func (w *storm) overtaxed(took time.Duration) bool {
	if took < stormTimeout/2 { // the server's timers began before ours
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late++
	return true
}

// found notes what must not be. A few of them are enough.
func (w *storm) found(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 10 {
		w.faults = append(w.faults, fault)
	}
}

// mostSids is how many sids are kept for others to use.
const mostSids = 500

func (w *storm) remember(sid string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sids) == mostSids {
		w.sids = append(w.sids[:0], w.sids[1:]...)
	}
	w.sids = append(w.sids, sid)
}

// sid is that of another session, open, upgraded or over, or one that never was.
func (v *visit) sid() string {
	v.storm.mu.Lock()
	defer v.storm.mu.Unlock()
	if len(v.sids) == 0 || v.chance(20) {
		return pick(v.grammar, "", "x", "AAAAAAAAAAAAAAAAAAAA", strings.Repeat("s", 5000), "%00", "..%2f")
	}
	return v.sids[v.IntN(len(v.sids))]
}

// abandon leaves a link open for the server to close. It reports false when there are enough of them.
func (w *storm) abandon(l *link) bool {
	l.mu.Lock()
	l.mute = true
	l.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.abandoned) >= 300 {
		return false
	}
	w.abandoned = append(w.abandoned, l)
	return true
}

// bearing is what join is given for a user to be let in.
func (w *storm) bearing(user string) []string {
	if !w.locked {
		return nil
	}
	return []string{"token", w.goodToken(user)}
}

// goodToken lets a user into every room.
func (w *storm) goodToken(user string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tokens[user] == "" {
		w.tokens[user] = token(w.t, user, until(time.Now().Add(3*time.Hour)))
	}
	return w.tokens[user]
}

// anyToken is one of a user: good, expired, for nowhere, of a system client, signed by somebody else, or damaged.
func (v *visit) anyToken(user string) string {
	switch v.IntN(9) {
	case 0:
		return token(v.t, user, until(time.Now().Add(-time.Hour)))
	case 1:
		return token(v.t, user, only())
	case 2:
		return token(v.t, user, unsaid)
	case 3:
		return token(v.t, user, system)
	case 4:
		return token(v.t, user, func(s *auth.Signing) { s.Secret = "another-secret-that-signs-nothing-here" })
	case 5:
		head := base64.RawURLEncoding.EncodeToString([]byte(pick(v.grammar, `{"alg":"none"}`, `{"alg":"None","typ":"JWT"}`, `{"alg":"HS256","kid":"../../dev/null"}`,
			`{"alg":"RS256","jwk":{}}`, `{"alg":5}`, `{}`, "x")))
		_, rest, _ := strings.Cut(v.goodToken(user), ".")
		return head + "." + rest
	case 6:
		text := line(v.mutate(v.goodToken(user), "."))
		return strings.NewReplacer(`"`, "", `\`, "").Replace(strings.ToValidUTF8(text, ""))
	}
	return v.goodToken(user)
}
