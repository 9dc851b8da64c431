package rest

import (
	"strings"
)

// nastyValues are JSON, or nearly, that servers stumble over.
var nastyValues = []string{
	"null", "true", "0", "-0", "-1", "1.5", "1e3", "1.0", "1e999", "-1e999", "1e-999", "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
	"123456789012345678901234567890", "01", "+1", ".5", "1.", "NaN", "Infinity", "undefined", "'x'", "", " ", "{", "[", "]", `"`, `"\`, `"\u12`, `"\x"`, `{"a"}`, `{"a":}`, `[1,]`, `{,}`,
	"[]", "{}", "[[]]", "[null]", `[{}]`, `{"a":null}`, `""`, `" "`, `"\u0000"`, `"a\u0000b"`, `"\ud800"`, `"\udc00x"`, `"\ud83d\ude00"`, "\"\xff\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\t\"",
	"\"\x00\"", `"undefined"`, `"null"`, `"0"`, `"-0"`, `"NaN"`, `"e\u0301"`, `"\u202e"`, `"\ufeff"`, `"\u2028"`, `{"__proto__":{"x":1}}`, `{"constructor":{"prototype":{}}}`, `{"$ref":"#"}`,
	`{"a":1,"a":2}`, `{"":""}`, `{"\ud800":1}`, "/*x*/1", "1 2", `{"toString":1}`,
	deep, strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 63) + "1" + strings.Repeat("}", 63), strings.Repeat(`[`, 64) + strings.Repeat(`]`, 64),
	`"` + long + `"`, `"` + strings.Repeat("é", 65) + `"`, `"` + strings.Repeat("x", 70_000) + `"`, "[" + strings.Repeat("1,", 300) + "1]", strings.Repeat("9", 400), `{"a":` + strings.Repeat("9", 2000) + "}",
}

// nastyTexts are payloads against whatever reads a text later: pages, terminals, spreadsheets, logs, databases, headers.
var nastyTexts = []string{
	"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", `"><svg/onload=alert(1)>`, "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\r\nSet-Cookie: a=b", "\n{\"level\":\"ERROR\"}",
	"\x1b[31mred\x1b[0m", "\x1b]0;x\a", "'; DROP TABLE users;--", "' OR '1'='1", "\\", "%", "_", "!", "%s%n%x", "${jndi:ldap://x}", "{{7*7}}", "../../etc/passwd", "..", ".", "a/b", "a\\b", "a b", "\x00", "a\x00b",
	"\xff", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "e\u0301", "\u2126", "\u202eabc", "\ufeff", "\u200b", "\u2028", "\ufffd", "undefined", "null", "NaN", "0", "-0", "00", "-1", "1e3", "0x10", "1.0", "+1", " 1", "1 ",
	"9223372036854775807", "9223372036854775808", "99999999999999999999999999", "__proto__", "constructor", "toString", "*", "?", "#", ":id", "{id}", "query", "export.csv", "push", "true", "TRUE", "[]", "{}", "٣", "张三",
	"01ARZ3NDEKTSV4RRFFQ69G5FAV", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "eyJ1IjoiMSJ9", "eyJ1IjoiIn0", "eyJnIjp0cnVlLCJrIjoxZTk5OSwidSI6IjEifQ", "bnVsbA", "W10", "====", "MQ==",
}

// nasty writes what should stand nowhere.
func (p *pen) nasty() string {
	if p.IntN(3) == 0 {
		return quote(pick(p, nastyTexts...))
	}
	return pick(p, nastyValues...)
}

// text returns a nasty text of at most so many bytes, or one that is too long.
func (p *pen) text(most int) string {
	if p.IntN(8) == 0 {
		return strings.Repeat(pick(p, "x", "é", "𝒳"), pick(p, 64, 65, most/4, most))
	}
	return pick(p, nastyTexts...)
}

// short returns a text of a kind, or one that people may well write, payloads among them.
func (p *pen) short(kind string) string {
	switch {
	case kind != "":
		return p.of(kind)
	case p.IntN(3) > 0:
		return pick(p, "Ann", "agenda", "张三", "two words", "x", "2", "naïve 🙂", "")
	}
	s := strings.ToValidUTF8(pick(p, nastyTexts...), "?")
	return strings.ReplaceAll(s, "\x00", "")
}

// spoil damages a whole body.
func (p *pen) spoil(body string) string {
	if !p.odd() {
		return body
	}
	at := p.IntN(len(body) + 1)
	switch p.IntN(9) {
	case 0:
		return body[:at]
	case 1:
		return "\ufeff" + body
	case 2:
		return body + pick(p, "}", "{}", "\x00", " null", ",", "\n\n")
	case 3:
		return body[:at] + pick(p, "\x00", "\xff", "\\", "\"", "\u2028", ",", "}", "-") + body[at:]
	case 4:
		return pick(p, "a=b&c=d", "<xml/>", "--x\r\n\r\n--x--", "\x1f\x8b\x08\x00", strings.Repeat(" ", 1000))
	case 5:
		return body + body
	case 6:
		return "[" + body + "]"
	case 7:
		return large
	}
	return p.nasty()
}
