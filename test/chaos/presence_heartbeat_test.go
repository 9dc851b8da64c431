package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// Who answers every ping stays. With an interval as long as the timeout, as by default, the timer of a ping ends when the next one
// is due: one that was not stopped by its pong takes a socket away that is well.
func TestHeartbeat(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "clients that answer every ping")
	town := found(c, 1, func(p *paces) settings {
		p.pingInterval, p.pingTimeout = 5*time.Second, 5*time.Second
		if !storetest.Proving() {
			p.pingInterval, p.pingTimeout = 3*time.Second, 3*time.Second
		}
		return nil
	})
	people := town.gathers("p", storetest.Size(2000, 200), visit{})
	lasts := time.Duration(storetest.Size(60, 16)) * time.Second
	town.pause(lasts)
	dropped, evidence := 0, ""
	for _, p := range people {
		p.mu.Lock()
		if p.ended {
			if dropped++; dropped <= 3 {
				evidence += fmt.Sprintf(" %s after %v: %v;", p.user, p.stayed.Round(time.Millisecond), p.why)
			}
		}
		p.mu.Unlock()
	}
	pings := len(people) * int(lasts/town.paces.pingInterval)
	c.says(pings, "dropped 0", fmt.Sprintf("%d of %d clients%s", dropped, len(people), evidence), dropped == 0)
}
