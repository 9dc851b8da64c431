package system_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// grammar makes packets out of random numbers: mostly what clients send, and what is only nearly that.
type grammar struct {
	*rand.Rand
	token func(user string) string // a token of some kind, good or bad; nil where none is asked for
}

// The people and rooms of a storm. They are few, so that its clients meet, and none of them is the honest client's.
const stormUsers, stormRooms = 200, 20

func newGrammar(seed, visit uint64, token func(string) string) *grammar {
	return &grammar{Rand: rand.New(rand.NewPCG(seed, visit)), token: token}
}

// chance is true p times of 100.
func (g *grammar) chance(p int) bool { return g.IntN(100) < p }

func pick[T any](g *grammar, list ...T) T { return list[g.IntN(len(list))] }

func (g *grammar) user() string { return fmt.Sprintf("storm%d", g.IntN(stormUsers)) }
func (g *grammar) room() string { return fmt.Sprintf("room%d", g.IntN(stormRooms)) }

// bytes are n of any kind, line breaks and broken UTF-8 too.
func (g *grammar) bytes(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return string(b)
}

// json is any value, nested at most depth deep, now and then one that JSON does not have.
func (g *grammar) json(depth int) string {
	kind := g.IntN(14)
	if depth <= 0 {
		kind = g.IntN(11)
	}
	switch kind {
	case 0, 1, 2:
		return g.text()
	case 3, 4:
		return fmt.Sprint(g.IntN(1000) - 100)
	case 5:
		return pick(g, "0", "-0", "1e400", "1E-9", "9223372036854775808", "0.1", "01", "+1", ".5", "1.", "NaN", "Infinity", "0x10", strings.Repeat("9", 400))
	case 6, 7:
		return pick(g, "true", "false", "null")
	case 8:
		return pick(g, "", "undefined", "'a'", "{", "}", "[", "]", "[,]", "{,}", `{"a"}`, `{"a":}`, `{a:1}`, "[1", `{"a":1`, "//x", "nul", `"`, "\x00", "\ufeff1")
	case 9:
		deep := pick(g, 10, 63, 64, 65, 1000, 10_000)
		return strings.Repeat(pick(g, "[", `{"a":`), deep) + strings.Repeat("]", g.IntN(deep+1))
	case 10:
		return `"` + strings.Repeat(pick(g, "a", "é", "会", `\u0000`, `\\`), pick(g, 64, 65, 1000, 5000)) + `"`
	case 11:
		items := make([]string, g.IntN(6))
		for i := range items {
			items[i] = g.json(depth - 1)
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	fields := make([]string, g.IntN(6))
	for i := range fields {
		fields[i] = pick(g, g.text(), `"userId"`, `"__proto__"`, `"ids"`, `"a"`) + ":" + g.json(depth-1)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// text is a JSON string with something in it that has hurt somebody before.
func (g *grammar) text() string {
	return `"` + pick(g, "", "a", "hello", "null", "undefined", "0", "  ", `\u0000`, `\ud800`, `\u202e`, `\u2028`, "<script>alert(1)</script>", "=1+1", `\r\nlevel=ERROR`,
		`\u001b[31m`, "%s%n",
		`'; DROP TABLE users; --`, "${jndi:ldap://x}", "会议", "e\u0301", "\U0001f600", "\xff\xfe", "\xed\xa0\x80", "../../etc/passwd", `\"`, "a\tb", "__proto__",
		"constructor") + `"`
}

// who and where are ids as JSON: mostly of the storm, else anything.
func (g *grammar) who() string {
	if g.chance(85) {
		return `"` + g.user() + `"`
	}
	return pick(g, g.text(), g.json(1), fmt.Sprint(g.Uint64()), `"`+strings.Repeat("x", 65)+`"`, `"a b"`, `""`, "null", "[]")
}

func (g *grammar) where() string {
	if g.chance(85) {
		return `"` + g.room() + `"`
	}
	return pick(g, "0", `""`, "null", `"0"`, g.text(), g.json(1), fmt.Sprint(g.Uint64()))
}

func (g *grammar) list(of func() string) string {
	items := make([]string, pick(g, 0, 1, 1, 2, 3, 5, 50))
	for i := range items {
		items[i] = of()
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (g *grammar) cursor() string {
	return pick(g, `""`, "null", `"x"`, `"01J0000000000000000000000"`, `"`+base64.RawURLEncoding.EncodeToString([]byte(g.bytes(12)))+`"`, g.json(0))
}

func (g *grammar) limit() string {
	return pick(g, "1", "50", "200", "201", "0", "-1", "1e3", "9999999999999999999", `"5"`, "null", "1.5")
}

func (g *grammar) category() string {
	return pick(g, `"system"`, `"mailbox"`, `"remind"`, `""`, `"none"`, g.json(0))
}

func (g *grammar) noticeID() string {
	return pick(g, `"01J0000000000000000000000"`, `"01KABCDEFGHJKMNPQRSTVWXYZ0"`, "17", g.json(0))
}

// fieldsOf are the fields of each event's argument; "" is the argument itself.
func (g *grammar) fieldsOf(event string) map[string]func() string {
	body := func() string { return pick(g, g.text(), g.json(2), `{"type":"note","n":`+g.json(0)+`}`) }
	switch event {
	case "user_login":
		return map[string]func() string{"userId": g.who, "conferenceId": g.where, "tokenId": g.text, "include": func() string { return pick(g, `"all"`, `""`, g.json(0)) }}
	case "roster", "inbox":
		return map[string]func() string{"cursor": g.cursor, "limit": g.limit, "category": g.category, "unreadOnly": func() string { return pick(g, "true", "false", "1") }}
	case "watch", "unwatch":
		return map[string]func() string{"conferenceIds": func() string { return g.list(g.where) }}
	case "tree_resync":
		return map[string]func() string{"version": g.limit}
	case "chat_history":
		return map[string]func() string{"before": g.cursor, "limit": g.limit}
	case "direct_message":
		return map[string]func() string{"to": g.who, "body": body, "clientMsgId": g.text}
	case "todo":
		return map[string]func() string{"receiver_id": g.who, "what": body}
	case "notice_ack", "notice_read":
		return map[string]func() string{"ids": func() string { return g.list(g.noticeID) }, "all": func() string { return pick(g, "true", "false", "1") }, "category": g.category}
	case "sign_in":
		return map[string]func() string{"place": body}
	case "same_screen":
		return map[string]func() string{"action": func() string { return pick(g, `"start"`, `"end"`, `"pause"`, g.json(0)) }}
	case "reauth":
		return map[string]func() string{"token": g.credential}
	case "receive_client_event", "chat message":
		return map[string]func() string{"": body}
	}
	return nil
}

// credential is a token as JSON.
func (g *grammar) credential() string {
	if g.token == nil || g.chance(20) {
		return pick(g, g.text(), g.json(1), "null", `""`)
	}
	return `"` + g.token(g.user()) + `"`
}

// stormEvents are all that clients may send, the dear ones less often.
var stormEvents = []string{"jywsping", "jywsping", "jywsping", "jywsping", "jywsping", "jywsping", "roster", "roster", "user_login", "leave", "watch", "watch", "unwatch", "unwatch",
	"tree_resync", "tree_resync", "tree_resync", "receive_client_event", "chat message", "chat_history",
	"direct_message", "todo", "notice_ack", "notice_read", "inbox", "sign_in", "same_screen", "reauth", "reauth",
	"no_such_event", "no_such_event", "note_tree", "welcome", "", ""}

// arguments are what comes behind the name of an event, each with its comma.
func (g *grammar) arguments(event string) string {
	switch {
	case g.chance(10):
		return pick(g, "", ","+g.json(3), ","+g.json(1)+","+g.json(1), `,{"_placeholder":true,"num":0}`, ",null", ",[]")
	case event == "no_such_event":
		return "," + g.json(2)
	}
	fields := g.fieldsOf(event)
	if whole := fields[""]; whole != nil {
		return "," + whole()
	}
	if fields == nil {
		return ""
	}
	var parts []string
	for _, name := range sorted(fields) { // in one order, or the seed would not say everything
		value := fields[name]()
		switch {
		case g.chance(25):
			continue
		case g.chance(8):
			value = g.json(2)
		case g.chance(3):
			name += g.bytes(1 + g.IntN(2))
		}
		parts = append(parts, `"`+name+`":`+value)
	}
	return ",{" + strings.Join(parts, ",") + "}"
}
