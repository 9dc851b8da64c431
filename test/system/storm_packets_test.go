package system_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// packet is one Engine.IO packet, or what is sent as one.
type packet struct {
	kind   string
	text   string
	binary bool // goes as a binary frame, or as base64
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// namespace is mostly the only one there is.
func (g *grammar) namespace() string {
	if g.chance(85) {
		return ""
	}
	return pick(g, "/,", "/admin,", "/,,", "/", "/"+strings.Repeat("n", 300)+",", "/a?userId=storm1,", "//,", "/\x00,")
}

// number is an id under which an answer is wanted.
func (g *grammar) number() string {
	return pick(g, "", "", "0", "1", "7", "12345", "18446744073709551615", "18446744073709551616", "99999999999999999999999", "-1", "007")
}

// event is what a client of good manners may send: it is answered or ignored and costs nobody the connection.
func (g *grammar) event() packet {
	for {
		name := pick(g, stormEvents...)
		array := `["` + name + `"` + g.arguments(name) + `]`
		if g.chance(2) {
			array = `["` + name + `","` + strings.Repeat("long ", g.IntN(12_000)) + `"]`
		}
		if json.Valid([]byte(array)) && len(array) < 64_000 {
			return packet{kind: "event", text: "42" + pick(g, "", "", "0", "7", "12345", "18446744073709551615") + array}
		}
	}
}

// connect asks for a namespace, with or without credentials.
func (g *grammar) connect() packet {
	auth := ""
	switch {
	case g.token != nil && g.chance(60):
		auth = `{"token":` + g.credential() + `}`
	case g.chance(40):
		auth = pick(g, "{}", "[]", `{"token":""}`, `{"token":null}`, `{"token":["a"]}`, "null", "1", g.json(3), `{"a":"`+strings.Repeat("x", 60_000)+`"}`)
	}
	return packet{kind: "connect", text: "40" + g.namespace() + auth}
}

// message is a Socket.IO packet of any type, with the attachments that it should have or has not.
func (g *grammar) message() []packet {
	name := pick(g, append(stormEvents, "connect", "disconnect", "connect_error", "disconnecting", "newListener", "error")...)
	array := `["` + name + `"` + g.arguments(name) + `]`
	switch g.IntN(12) {
	case 0:
		return []packet{g.connect()}
	case 1:
		return []packet{{kind: "disconnect", text: "41" + g.namespace()}}
	case 2, 3, 4:
		return []packet{{kind: "event", text: "42" + g.namespace() + g.number() + array}}
	case 5, 6:
		return []packet{{kind: "ack", text: "43" + g.namespace() + g.number() + pick(g, "[]", `[{"ok":true}]`, "", "{}", g.json(2))}}
	case 7:
		return []packet{{kind: "connect error", text: "44" + g.namespace() + pick(g, "", `{"message":"x"}`, `"x"`, g.json(1))}}
	case 8, 9:
		return g.binaryMessage()
	case 10:
		return []packet{{kind: "unknown message", text: "4" + pick(g, "7", "8", "9", "a", "", " ", "\x00", "é", "-1", "2", "24")}}
	}
	return []packet{{kind: "event", text: "42" + g.namespace() + g.number() + pick(g, "[]", "{}", `"x"`, "[1]", "[null]", `[["a"]]`, `["a"`, "", `[{"a":1}]`, g.json(2))}}
}

// binaryMessage is an event or an ack with attachments that are announced, placed and sent, in numbers that may differ.
func (g *grammar) binaryMessage() []packet {
	announced := pick(g, "1", "1", "2", "3", "0", "10", "11", "99999999999", "-1", "", "1.5", "x")
	place := func() string {
		return `{"_placeholder":` + pick(g, "true", "true", "true", "1", "false") + `,"num":` + pick(g, "0", "0", "1", "2", "-1", "1e9", `"0"`, "null", "0.5") + "}"
	}
	head := pick(g, "45", "45", "46") + announced + "-" + g.namespace() + g.number()
	array := `["` + pick(g, stormEvents...) + `",` + pick(g, place(), "["+place()+","+place()+"]", `{"a":`+place()+`}`, g.json(1)) + `]`
	list := []packet{{kind: "binary", text: head + array}}
	for range pick(g, 0, 1, 1, 1, 2, 3) {
		list = append(list, g.attachment())
	}
	return list
}

func (g *grammar) attachment() packet {
	return packet{kind: "attachment", text: g.bytes(pick(g, 1, 3, 100, 2000)), binary: true}
}

// any is an Engine.IO packet of any type, in any order, and whatever comes with it.
func (g *grammar) any() []packet {
	switch g.IntN(16) {
	case 0:
		return []packet{{kind: "engine open", text: pick(g, "0", `0{"sid":"x"}`, "0"+g.json(1))}}
	case 1:
		return []packet{{kind: "engine close", text: pick(g, "1", "1x", "11")}}
	case 2:
		return []packet{{kind: "ping", text: pick(g, "2", "2probe", "2probe2", "2"+g.text())}}
	case 3:
		return []packet{{kind: "pong", text: pick(g, "3", "3probe", "3x")}}
	case 4:
		return []packet{{kind: "upgrade", text: pick(g, "5", "5x", "55")}}
	case 5:
		return []packet{{kind: "noop", text: pick(g, "6", "6x")}}
	case 6:
		return []packet{{kind: "base64", text: "b" + pick(g, base64.StdEncoding.EncodeToString([]byte(g.bytes(g.IntN(64)))), "", "4", "4AAAA", "====", "A", g.bytes(8))}}
	case 7:
		return []packet{{kind: "unknown packet", text: pick(g, "7", "8", "9", "", " ", "b", "a", "\n", "é", "-", "B", "\x00", "\x1e", "\xff") + pick(g, "", g.text())}}
	case 8:
		return []packet{g.attachment()}
	}
	return g.message()
}

// mutate changes a packet as a bad line or a bad heart would. other is what may be spliced in.
func (g *grammar) mutate(text, other string) string {
	for range 1 + g.IntN(3) {
		at := g.IntN(len(text) + 1)
		end := min(len(text), at+1+g.IntN(8))
		switch g.IntN(7) {
		case 0: // a bit
			if at < len(text) {
				text = text[:at] + string([]byte{text[at] ^ 1<<g.IntN(8)}) + text[at+1:]
			}
		case 1:
			text = text[:at] + text[end:]
		case 2:
			text = text[:end] + text[at:]
		case 3:
			text = text[:at] + g.bytes(1+g.IntN(4)) + text[at:]
		case 4:
			text = text[:at]
		case 5:
			text = text[:at] + other[min(len(other), g.IntN(len(other)+1)):]
		case 6:
			text = text[:at] + pick(g, "\x1e", ",", "[", "{", `"`, "\x00", "0", "-", "4", "99999999999") + text[at:]
		}
	}
	return text
}

// payload puts packets together as the body of a POST. A careless one does it wrongly.
func (g *grammar) payload(eio3, careless bool, list []packet) string {
	var body strings.Builder
	for i, p := range list {
		text := p.text
		if p.binary {
			text = "b" + base64.StdEncoding.EncodeToString([]byte(p.text))
			if eio3 {
				text = "b4" + text[1:]
			}
		}
		if !eio3 {
			if i > 0 || careless && g.chance(10) {
				body.WriteString("\x1e")
			}
			body.WriteString(text)
			continue
		}
		length := len(utf16.Encode([]rune(text)))
		if careless && g.chance(20) {
			length = pick(g, 0, -1, length+1, max(0, length-1), len(text), 1<<31, 1<<40)
		}
		fmt.Fprintf(&body, "%d:%s", length, text)
	}
	if careless && g.chance(10) {
		body.WriteString(pick(g, "\x1e", "\x1e\x1e", ":", "5:", "999:x", "-1:", "1e3:"))
	}
	return body.String()
}

// octets puts packets together as 2.x clients with binary support do: kind, length in digits, 255, packet.
func (g *grammar) octets(list []packet) string {
	var body strings.Builder
	for _, p := range list {
		text, kind := p.text, byte(0)
		if p.binary {
			text, kind = "\x04"+p.text, 1
		}
		length := len(text)
		if g.chance(10) {
			length = pick(g, 0, length+1, 1<<20)
		}
		body.WriteByte(kind)
		for _, digit := range fmt.Sprint(length) {
			body.WriteByte(byte(digit - '0'))
		}
		body.WriteString("\xff" + text)
		if g.chance(3) {
			body.WriteString(g.bytes(3))
		}
	}
	return body.String()
}
