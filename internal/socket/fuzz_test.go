package socket

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	engineparser "github.com/zishang520/socket.io/parsers/engine/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/rescue"
)

// refusals are the codes with which a handshake may be refused for what is in it.
var refusals = []string{"bad_user_id", "bad_conference_id", "bad_client_type"}

// FuzzHandshake reads what a client says of itself. Whatever that is, what is taken of it can be shown, stored and compared,
// and a token is either there or it is said why not.
func FuzzHandshake(f *testing.F) {
	f.Add("userId=anna&conferenceId=42&clientType=pc&deviceId=d&userName=Anna", "Bearer x", "seat=y", []byte(`"z"`))
	f.Add("userId[]=a&token=x&token=y", "Basic x", "seat=", []byte(`{}`))
	f.Add("userId=%E2%80%8B&is_system=1&token=x", "", "seat=\"a b\"; seat=c", []byte(`null`))
	f.Add("userId=undefined&conferenceId=0&userName=%1B[31m%0D%0A", "bearer", ";;=", []byte(``))
	f.Fuzz(func(t *testing.T, query, authorization, cookie string, claim []byte) {
		q, _ := url.ParseQuery(query) // the rest of a broken one is left out, as net/http does
		h, err := readHandshake(q)
		if err != nil {
			if !slices.Contains(refusals, fault.Of(err).Code) || words(fault.Of(err).Code) == words("") {
				t.Errorf("%q was refused with %v", query, err)
			}
			return
		}
		for _, text := range []string{h.userID, h.conferenceID, h.clientType, h.deviceID} {
			if text != "" && id.Check(text) != nil {
				t.Errorf("%q has the id %q", query, text)
			}
		}
		if id.Nobody(h.userID) != (h.userID == "") || h.clientType == "" || utf8.RuneCountInString(h.userName) > maxName || !utf8.ValidString(h.userName) || strings.ContainsFunc(h.userName, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q was read as %+v", query, h)
		}
		if len(claim) > 0 && !json.Valid(claim) {
			return // the decoder lets no such thing through
		}
		for _, inURL := range []bool{false, true} {
			d := &Door{Config: Config{CookieName: "seat", AllowQueryToken: inURL}}
			token, err := d.credential(claim, &http.Request{Header: http.Header{"Authorization": {authorization}, "Cookie": {cookie}}}, q)
			if (token == "") != (err != nil) || err != nil && !fault.Is(err, fault.Unauthorized) {
				t.Errorf("%q, %q, %q, %q: token %q, %v", query, authorization, cookie, claim, token, err)
			}
			if err != nil && len(q.Get(tokenKey)) > 8 && strings.Contains(err.Error(), q.Get(tokenKey)) {
				t.Errorf("a refusal repeats a token: %v", err)
			}
		}
	})
}

// FuzzEvent sends every event that there is with any argument, as somebody in a conference, as nobody and as a system client.
// Each is answered, with one of the documented codes or ok, nothing panics, and the socket stays.
func FuzzEvent(f *testing.F) {
	o := open(f, func(c *Config) {
		c.EventsPerSecond, c.PingInterval, c.EIO3PingTimeout = 100_000, 24*time.Hour, 24*time.Hour // these clients send no heartbeat
		c.Net = rescue.New(slog.New(slog.DiscardHandler), nil)
	})
	names := slices.Sorted(maps.Keys(handlers))
	for i := range names {
		for j, arg := range []string{`{}`, `{"userId":"anna","conferenceId":"42","conferenceIds":["42"],"ids":["x"],"limit":3,"cursor":"x","before":"x","to":"ben","body":1,"receiver_id":"ben","action":"start","token":"x","version":1}`, `"x"`, `null`, `[[1]]`} {
			f.Add(uint8(i), uint8(j), arg)
		}
	}
	clients := []*webSocketClient{o.enter(f, "EIO=4&userId=anna&conferenceId=42"), o.enter(f, "EIO=4"), o.enter(f, "EIO=3&is_system=1&conferenceId=42")}
	codes := []string{"bad_payload", "too_large", "unauthorized", "forbidden", "not_found", "conflict", "conference_ended", "no_conference"}
	asked := 0
	f.Fuzz(func(t *testing.T, event, who uint8, arg string) {
		name, c := names[int(event)%len(names)], clients[int(who)%len(clients)]
		asked++
		packet := `2` + strconv.Itoa(asked) + `["` + name + `",` + arg + `]`
		if _, err := decodePacket([]byte(packet)); err != nil || len(packet) >= o.MaxPayload {
			return // that ends the connection, as it should
		}
		c.t = t
		c.write("4" + packet)
		a := readAnswer(t, c.until("43"+strconv.Itoa(asked)+"["))
		if a.OK == slices.Contains(codes, a.Error.Code) {
			t.Errorf("%s of %.200s was answered %s", name, arg, a.text)
		}
		if strings.ContainsFunc(a.Error.Message, unicode.IsControl) {
			t.Errorf("%s of %.200s was answered %q", name, arg, a.Error.Message)
		}
	})
}

// FuzzPayload cuts bodies of long-polling into packets. What it takes for whole and well formed, the library does as well, and
// finds as many packets in it.
func FuzzPayload(f *testing.F) {
	f.Add([]byte("40\x1e42[\"a\"]\x1e6"), true)
	f.Add([]byte(`2:4011:42["a","é"]1:6`), false)
	f.Add([]byte("b4AAAA\x1ebAAAA\x1e\x1e"), true)
	f.Add([]byte("5:42\U0001f600x3:x"), false)
	f.Add([]byte("999999999999999999999999:x"), false)
	f.Fuzz(func(t *testing.T, body []byte, fourth bool) {
		parser := engineparser.Parserv3()
		if fourth {
			parser = engineparser.Parserv4()
		}
		count, size, good := 0, 0, true
		whole := eachPacket(body, parser.Protocol(), func(p []byte) bool {
			count, size = count+1, size+len(p)
			good = good && wellFormed(parser, p)
			return true
		})
		if size > len(body) {
			t.Errorf("%q has %d bytes in its packets", body, size)
		}
		if !whole || !good {
			return
		}
		list, err := parser.DecodePayload(types.NewStringBuffer(slices.Clone(body)))
		if err != nil || len(list) != count {
			t.Errorf("%q: %d packets, the library finds %d, %v", body, count, len(list), err)
		}
		if countOctetPackets(body) > len(body) {
			t.Errorf("%q holds more packets than bytes", body)
		}
	})
}
