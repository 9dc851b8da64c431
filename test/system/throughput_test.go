package system_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/id"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// posters is how many callers post at the same time.
const posters = 64

// race runs ways of doing the same in turn, so that whatever else the machine does meets all of them, and returns the
// median of each, per second.
func race(rounds, count int, ways ...func(i int)) []float64 {
	speeds := make([][]float64, len(ways))
	for range rounds {
		for way, do := range ways {
			begin := time.Now()
			parallel(count, posters, do)
			speeds[way] = append(speeds[way], float64(count)/time.Since(begin).Seconds())
		}
	}
	medians := make([]float64, len(ways))
	for way, list := range speeds {
		slices.Sort(list)
		medians[way] = list[len(list)/2]
	}
	return medians
}

// posting returns what posts a notice to somebody who is away, with an Idempotency-Key unless that is "".
func posting(t *testing.T, accepted *atomic.Int64) func(base string, i int, key string) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: posters}}
	return func(base string, i int, key string) {
		body := fmt.Sprintf(`{"to":{"users":["user%d"]},"body":"hi"}`, i%posters)
		req, err := http.NewRequest("POST", base+"/api/v1/notices", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || !strings.Contains(string(text), `"queued":1`) {
			t.Errorf("a notice was answered %d %s", resp.StatusCode, text)
			return
		}
		accepted.Add(1)
	}
}

// What it costs that there is another node: every notice is a letter to it as well, and who is there is looked up in the database.
func TestTwoNodesNoticesPerSecond(t *testing.T) {
	s := launch(t, store.MySQL, settings{"build": "quick"})
	var accepted atomic.Int64
	post := posting(t, &accepted)
	count, rounds := storetest.Size(3200, 640), storetest.Size(9, 3)
	alone := race(rounds, count, func(i int) { post(s.base, i, "") })
	other := s.beside()
	letters := func(n *server, which string) float64 { return n.metric("rollcall_cluster_letters_" + which + "_total") }
	before := letters(s, "posted") // while it did not know yet that it was alone
	two := race(rounds, count, func(i int) { post(s.base, i, "") }, func(i int) { post([]string{s.base, other.base}[i%2], i, "") })
	storetest.EventuallyWithin(t, time.Minute, func() bool {
		return letters(s, "posted")-before == letters(other, "received") && letters(other, "posted") == letters(s, "received")
	}, "letters are missing")
	storetest.Show(t, "%d callers, medians of %d rounds of %d, clients, nodes and database on one machine: %.0f POST /notices a second at one node alone, %.0f at one of two nodes, %.0f at two",
		posters, rounds, count, alone[0], two[0], two[1])
}

// Posts without an Idempotency-Key share transactions. With one, each is committed in a transaction with its key.
func TestPostedNoticesPerSecond(t *testing.T) {
	s := launch(t, store.MySQL, settings{"build": "quick"})
	var accepted atomic.Int64
	post := posting(t, &accepted)
	shared := func(i int) { post(s.base, i, "") }
	alone := func(i int) { post(s.base, i, id.New()) }
	parallel(posters, posters, alone)
	count, rounds := storetest.Size(3200, 640), storetest.Size(9, 5)
	transactions := func(do func(i int)) float64 {
		before := s.metric("rollcall_db_transactions_total")
		parallel(count, posters, do)
		return s.metric("rollcall_db_transactions_total") - before
	}
	few, many := transactions(shared), transactions(alone)
	speeds := race(rounds, count, shared, alone)
	var stored int
	if err := s.pool().QueryRow("SELECT COUNT(*) FROM notices WHERE event = 'notice'").Scan(&stored); err != nil || stored != int(accepted.Load()) {
		t.Errorf("%d notices are stored, %d were accepted: %v", stored, accepted.Load(), err)
	}
	storetest.Show(t, "%d keep-alive callers of one process, medians of %d alternating rounds of %d: %.0f POST /notices a second (%.0f transactions for %d), %.0f with an Idempotency-Key, which is committed with its notice (%.0f transactions, %.1f times)",
		posters, rounds, count, speeds[0], few, count, speeds[1], many, speeds[0]/speeds[1])
}
