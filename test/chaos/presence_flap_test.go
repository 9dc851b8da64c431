package chaos_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// announcement is a row of the log about somebody who came or went, as far as it was sent.
type announcement struct {
	user, event string
	at          int64 // ms
}

func (town *town) announcements(prefix string) []announcement {
	town.t.Helper()
	rows, err := town.pool.QueryContext(town.ctx, "SELECT sender_id, event, created_at FROM notices WHERE event IN ('online_notice','offline_notice') AND state = 'sent' AND sender_id LIKE ? ORDER BY created_at, id", prefix+"-%")
	if err != nil {
		town.t.Fatal(err)
	}
	defer rows.Close()
	var list []announcement
	for rows.Next() {
		var a announcement
		if err := rows.Scan(&a.user, &a.event, &a.at); err != nil {
			town.t.Fatal(err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		town.t.Fatal(err)
	}
	return list
}

// tooSoon counts announcements of one kind about one user that came before the window of the one before was over.
func tooSoon(list []announcement, window time.Duration) int {
	last, n := map[[2]string]int64{}, 0
	for _, a := range list {
		k := [2]string{a.user, a.event}
		if before, ok := last[k]; ok && a.at-before < window.Milliseconds()-50 { // created_at is read a moment before the window opens
			n++
		}
		last[k] = a.at
	}
	return n
}

// untrue counts users about whom the last announcement is not what is true.
func untrue(list []announcement, online map[string]bool) int {
	said, n := map[string]bool{}, 0
	for _, a := range list {
		said[a.user] = a.event == "online_notice"
	}
	for user, here := range online {
		if said[user] != here {
			n++
		}
	}
	return n
}

// Users who come and go ten times a second, on both nodes: the room hears of each at most once per window and kind, and in the
// end the truth.
func TestFlapping(t *testing.T) {
	beside(t)
	c := begin(t, presenceSection, "connect and disconnect at 10 Hz, on two nodes")
	town := found(c, 2, nil)
	users, last := storetest.Size(50, 8), time.Duration(storetest.Size(60, 6))*time.Second
	var all sync.WaitGroup
	var flaps, failed atomic.Int64
	for i := range users {
		all.Go(func() { town.flaps(fmt.Sprintf("flap-%d", i), last, &flaps, &failed) })
	}
	all.Wait()
	over := time.Now()
	online := map[string]bool{}
	for i := range users {
		online[fmt.Sprintf("flap-%d", i)] = i%2 == 0
		if i%2 == 0 {
			if _, err := town.enters(visit{user: fmt.Sprintf("flap-%d", i), conference: "room-0"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	limit := town.paces.grace + town.paces.debounce + 2*time.Second
	settled := town.waitsFor(2*limit, func() bool { return untrue(town.announcements("flap"), online) == 0 })
	took := time.Since(over)
	town.pause(town.paces.debounce + time.Second)
	list := town.announcements("flap")
	c.none(int(flaps.Load()), int(failed.Load()), "connects that failed:")
	c.none(len(list), tooSoon(list, town.paces.debounce), "notices of one kind twice in a window:")
	c.says(users, fmt.Sprintf("last announced is true within %v of the last change, and stays", limit), fmt.Sprintf("%v, wrong %d", took.Round(10*time.Millisecond), untrue(list, online)), settled && took <= limit && untrue(list, online) == 0)
	c.says(int(flaps.Load()), "about 10 a second and user", fmt.Sprintf("%.1f", float64(flaps.Load())/last.Seconds()/float64(users)), flaps.Load() > 0)
}

// flaps lets a user come and go ten times a second.
func (town *town) flaps(user string, last time.Duration, flaps, failed *atomic.Int64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(last); time.Now().Before(end); {
		n := flaps.Add(1)
		link, err := passes(town.addresses()[0], user, "room-0")
		if err != nil {
			failed.Add(1)
		} else if n%2 == 0 {
			link.Leave()
		} else {
			link.Vanish()
		}
		<-tick.C
	}
}
