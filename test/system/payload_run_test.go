package system_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// Show 7: texts that do harm where they are taken for more than texts go through every field and come out as they went in; no line
// of the log, no cell of a file and no page takes them for anything else.
func TestPayloads(t *testing.T) {
	// SQLite is written in Go and many times slower under the race detector, which watches the run on MariaDB.
	for format, c := range map[string]struct{ dialect, build string }{"json": {store.SQLite, "quick"}, "text": {store.MySQL, "race"}} {
		t.Run(format, func(t *testing.T) {
			beacon, hits := beaconHits(t)
			s := launch(t, c.dialect, settings{"auth": "jwt", "log.level": "debug", "log.format": format, "socket.events_per_second": "1000", "build": c.build})
			f := &feed{server: s, backend: newEars(t)}
			s.tells(f.backend.URL, "")
			list := payloads(beacon.URL)
			var all sync.WaitGroup
			turns := make(chan int)
			for range 4 {
				all.Go(func() {
					for i := range turns {
						f.feeds(list[i], fmt.Sprint("room", i), fmt.Sprint("user", i))
					}
				})
			}
			for i := range list {
				turns <- i
			}
			close(turns)
			all.Wait()
			cells := f.files(list)
			pages := f.pages(list)
			s.stop()
			lines := strings.Split(strings.TrimSpace(s.logged()), "\n")
			for _, line := range lines {
				if wrong := wrongLine(format, line); wrong != "" {
					t.Errorf("a line of the log is %s: %.300q", wrong, line)
				}
			}
			if n := hits.Load(); n > 0 {
				t.Errorf("the beacon was asked %d times", n)
			}
			storetest.Show(t, "%d payloads: harmed %d of %d fields read again; executed %d on %d pages of a real browser; a spreadsheet would run %d of %d cells; each of %d lines of the log is one line of ours",
				len(list), f.harmed.Load(), f.fields.Load(), f.ran.Load()+hits.Load(), pages, f.armed.Load(), cells, len(lines))
		})
	}
}

// feeds sends one payload everywhere.
func (f *feed) feeds(p payload, room, user string) {
	name := p.short(255)
	if f.put(p, "PUT", "/api/v1/users/"+user, raw(map[string]any{"name": name})) {
		f.put(p, "POST", "/api/v1/users", raw(map[string]any{"users": []any{map[string]any{"id": user, "name": name}}}))
	}
	f.conference(p, room, user)
	w, err := join(f.base, user, room, "token", token(f.t, user))
	if err != nil {
		f.t.Errorf("%s: %v", p.name, err)
		return
	}
	defer w.leave()
	if there := f.get("/api/v1/conferences/" + room + "/presence"); !strings.Contains(p.text, "\x00") {
		f.reads(p.name+" as the name of somebody who is there", []byte(raw(memberOf(there, "users"))), name, 1+same(name, p.text))
	}
	f.notices(p, user, w)
	f.sockets(p, user, w)
	f.get("/api/v1/explain?userId=" + user)
	if p.runs || storetest.Proving() {
		f.refusals(p)
	}
	if len(p.text) < 2000 {
		f.broken(p)
	}
	f.signed(p, room, user)
	if f.put(p, "POST", "/api/v1/users/"+user+"/kick", raw(map[string]any{"reason": name})) {
		f.reads(p.name+" as a reason", w.hears(f.t, "kicked", p.name), name, 1)
	}
}

// signed sends a payload as the name in a token: what of it can be shown is believed.
func (f *feed) signed(p payload, room, user string) {
	f.t.Helper()
	shown := strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, p.text))
	if r := []rune(shown); len(r) > 128 {
		shown = strings.TrimSpace(string(r[:128]))
	}
	w, err := join(f.base, user+"-signed", room+"-signed", "token", token(f.t, user+"-signed", named(p.short(2000), "host")))
	if err != nil {
		f.t.Errorf("%s as the name in a token: %v", p.name, err)
		return
	}
	defer w.leave()
	f.reads(p.name+" as the name in a token", w.hears(f.t, "welcome", p.name), shown, 1)
}

// formula is what begins a cell that a spreadsheet takes for one.
const formula = "=+-@\t\r\n"

// bare is a text as it was before a file for spreadsheets disarmed it. Go's reader of CSV takes the CR out of each CR LF.
func bare(cell string) string {
	if strings.HasPrefix(cell, "'") && len(cell) > 1 && strings.ContainsRune(formula, rune(cell[1])) {
		return cell[1:]
	}
	return cell
}

// files reads what is meant for spreadsheets and returns the number of cells.
func (f *feed) files(list []payload) (cells int) {
	log := f.sheet("/api/v1/notices/export.csv")
	labels, messages := map[string]bool{}, 0
	column := map[string]int{}
	for i, name := range log[0] {
		column[name] = i
	}
	for _, row := range log[1:] {
		cells += len(row)
		labels[bare(row[column["label"]])] = true
		if !json.Valid([]byte(bare(row[column["message"]]))) {
			f.t.Errorf("a message in the file is no JSON: %.100q", row[column["message"]])
		}
		messages++
	}
	for i, p := range list {
		name := strings.ReplaceAll(p.short(255), "\r\n", "\n")
		if strings.Contains(name, "\x00") {
			continue
		}
		if f.fields.Add(2); !labels[name] {
			f.harmed.Add(1)
			f.t.Errorf("%s: not among the labels of the file", p.name)
		}
		people := f.sheet(fmt.Sprintf("/api/v1/conferences/room%d/attendance?format=csv", i))
		cells += len(people) * len(people[0])
		if got := bare(people[1][1]); got != name {
			f.harmed.Add(1)
			f.t.Errorf("%s: the name in the attendance is %.80q", p.name, got)
		}
	}
	return cells
}

// sheet reads a file for spreadsheets, none of whose cells may be one that they run.
func (f *feed) sheet(path string) [][]string {
	f.t.Helper()
	text := f.get(path)
	if !bytes.HasPrefix(text, []byte("\uFEFF")) {
		f.t.Errorf("GET %s: no mark of UTF-8", path)
	}
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\uFEFF")))).ReadAll()
	if err != nil || len(rows) < 2 {
		f.t.Fatalf("GET %s: %d rows, %v", path, len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsRune(formula, rune(cell[0])) {
				f.armed.Add(1)
				f.t.Errorf("GET %s: a spreadsheet would run %.60q", path, cell)
			}
		}
	}
	return rows
}

// pages opens everything that shows payloads in a browser that has the key of an administrator, and returns how much that was.
func (f *feed) pages(list []payload) (seen int) {
	b := newBrowser(f.t, map[string]string{"Authorization": "Bearer " + adminKey})
	f.control(b)
	quiet := func(what string) {
		f.t.Helper()
		seen++
		if title := b.eval("document.title"); title == "ran" {
			f.ran.Add(1)
			f.t.Errorf("%s: the payload ran", what)
		}
	}
	dialogs, requests := b.count("Page.javascriptDialogOpening"), b.count("Network.requestWillBeSent")
	for i, p := range list {
		if !p.runs && !storetest.Proving() {
			continue // all of them are in the lists below
		}
		text := p.short(500)
		addresses := []string{
			fmt.Sprintf("/api/v1/conferences/room%d/tree", i), fmt.Sprintf("/api/v1/conferences/room%d/members", i), fmt.Sprintf("/api/v1/users/user%d/inbox", i),
			fmt.Sprintf("/api/v1/explain?userId=user%d", i),
		}
		if p.runs {
			addresses = append(addresses, "/docs#"+url.PathEscape(text), "/docs?"+url.QueryEscape(text), "/"+url.PathEscape(text), "/api/v1/"+url.PathEscape(text), "/api/v1/notices?cursor="+url.QueryEscape(text),
				"/socket.io/?EIO="+url.QueryEscape(text), "/socket.io/?EIO=4&transport="+url.QueryEscape(text))
		}
		for _, address := range addresses {
			if b.visit(f.base + address) {
				quiet(fmt.Sprintf("%s at %.60s", p.name, address))
			}
		}
	}
	for _, address := range []string{"/api/v1/notices?limit=200", "/api/v1/conferences?limit=200", "/api/v1/webhooks/deliveries?limit=200", "/api/v1/presence?limit=200", "/openapi.json", "/metrics"} {
		if !b.visit(f.base + address) {
			f.t.Errorf("%s is no page", address)
		}
		quiet(address)
	}
	for _, address := range []string{"/api/v1/notices/export.csv", "/api/v1/conferences/room0/attendance?format=csv"} {
		if b.visit(f.base + address) {
			f.t.Errorf("%s is shown as a page rather than kept as a file", address)
		}
	}
	f.docs(b, list[0].short(255))
	quiet("the page of the API")
	if n := b.count("Page.javascriptDialogOpening"); n != dialogs {
		f.t.Errorf("%d dialogs were opened", n-dialogs)
	}
	for _, m := range b.happened("Network.requestWillBeSent")[requests:] {
		var r struct {
			DocumentURL string // of the page that asks; the browser may still look for the sign of the one before
			Request     struct{ URL string }
		}
		if json.Unmarshal(m.Params, &r) == nil && strings.HasPrefix(r.DocumentURL, f.base+"/") && strings.HasPrefix(r.Request.URL, "http") && !strings.HasPrefix(r.Request.URL, f.base+"/") {
			f.t.Errorf("a page asks %.100s", r.Request.URL)
		}
	}
	return seen
}

// control shows that the browser runs what it is given to run, so that what did not run elsewhere was kept from it.
func (f *feed) control(b *browser) {
	f.t.Helper()
	beacon, _ := beaconHits(f.t)
	for _, p := range payloads(beacon.URL) {
		if !p.runs {
			continue
		}
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<!doctype html><title>quiet</title>" + p.text))
		}))
		b.visit(page.URL)
		if title := b.eval("document.title"); title != "ran" {
			f.t.Errorf("%s proves nothing: it runs nowhere", p.name)
		}
		page.Close()
	}
}

// docs has the page of the API show an answer full of payloads, and looks whether it does.
func (f *feed) docs(b *browser, label string) {
	f.t.Helper()
	_, h := f.call("GET", "/docs", nil, nil)
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			f.t.Errorf("the policy of /docs is %q", policy)
		}
	}
	b.visit(f.base + "/docs")
	show := `(async () => {
		const until = async (found) => { for (let i = 0; i < 1000; i++) { if (found()) return; await new Promise((r) => setTimeout(r, 10)); } };
		await until(() => document.getElementById("list-notices"));
		const card = document.getElementById("list-notices");
		card.open = true;
		await until(() => card.querySelector("form"));
		const form = card.querySelector("form");
		form.elements["query.label"].value = LABEL;
		form.requestSubmit();
		await until(() => form.querySelector("pre").textContent.includes("content-type"));
		return form.querySelector("pre").textContent;
	})()`
	if text := b.eval(strings.Replace(show, "LABEL", raw(label), 1)); !strings.Contains(text, "\n200 OK\n") || !strings.Contains(text, "<script>") {
		f.t.Errorf("the page shows %.300q", text)
	}
}
