package rest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"rollcall/internal/rawjson"
)

// withoutNulls returns a valid document without the fields that are null, down to so many levels of objects and
// lists, but with what its own fields named in sealed hold. Of a document that is null itself an empty object is left, and of
// a name that is there twice the last one: huma looks at that alone, while encoding/json lets the first shine through.
// What has neither is returned as it is. Every byte is read once, however deep it lies.
func withoutNulls(doc json.RawMessage, levels int, sealed ...string) json.RawMessage {
	if rawjson.Blank(doc) {
		return json.RawMessage("{}")
	}
	text, _ := sieve(doc).value(0, levels, sealed...)
	return json.RawMessage(text)
}

// sieve is a valid document that nulls are taken out of. What is taken out makes the text shorter, so text that is as long as
// it was is as it was.
type sieve []byte

// value returns what is left of the value at i or behind the white space there, and where it ended.
func (s sieve) value(i, levels int, sealed ...string) (text []byte, end int) {
	i = s.skip(i)
	switch {
	case levels > 0 && s[i] == '{':
		return s.object(i, levels, sealed)
	case levels > 0 && s[i] == '[':
		return s.list(i, levels)
	}
	end = s.end(i)
	return s[i:end], end
}

func (s sieve) object(i, levels int, sealed []string) (text []byte, end int) {
	var fields [][2][]byte // name and value, which is nil for what is taken out
	at := map[string]int{}
	changed := false
	j := s.skip(i + 1)
	for s[j] != '}' {
		name := s[j:s.end(j)]
		key := unquoted(name)
		start := s.skip(s.skip(j+len(name)) + 1) // behind the colon
		inner := levels - 1
		if slices.Contains(sealed, key) {
			inner = 0
		}
		value, end := s.value(start, inner)
		changed = changed || len(value) != end-start
		if bytes.Equal(value, []byte("null")) {
			value, changed = nil, true
		}
		if n, twice := at[key]; twice {
			fields[n][1], changed = nil, true
		}
		at[key] = len(fields)
		fields = append(fields, [2][]byte{name, value})
		j = s.next(end)
	}
	end = j + 1
	if !changed {
		return s[i:end], end
	}
	text = append(text, '{')
	for _, f := range fields {
		if f[1] == nil {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(append(append(text, f[0]...), ':'), f[1]...)
	}
	return append(text, '}'), end
}

func (s sieve) list(i, levels int) (text []byte, end int) {
	var items [][]byte
	changed := false
	j := s.skip(i + 1)
	for s[j] != ']' {
		item, end := s.value(j, levels-1)
		changed = changed || len(item) != end-j
		items = append(items, item)
		j = s.next(end)
	}
	end = j + 1
	if !changed {
		return s[i:end], end
	}
	text = append(append(append(text, '['), bytes.Join(items, []byte(","))...), ']')
	return text, end
}

// skip returns where the white space at i ends.
func (s sieve) skip(i int) int {
	for s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n' {
		i++
	}
	return i
}

// next returns where the next part begins, or the bracket after the last one, behind a value that ended at i.
func (s sieve) next(i int) int {
	if i = s.skip(i); s[i] == ',' {
		return s.skip(i + 1)
	}
	return i
}

// end returns where the value that begins at i ends.
func (s sieve) end(i int) int {
	level, inString := 0, false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
			if !inString && level == 0 {
				return i + 1
			}
		case inString:
		case c == '{' || c == '[':
			level++
		case c == '}' || c == ']':
			if level--; level == 0 {
				return i + 1
			}
			if level < 0 { // it closes what a scalar is in
				return i
			}
		case level == 0 && strings.IndexByte(", \t\r\n:", c) >= 0:
			return i
		}
	}
	return i
}

// unquoted is the text of a name.
func unquoted(name []byte) string {
	var s string
	if !bytes.Contains(name, []byte(`\`)) {
		return string(name[1 : len(name)-1])
	}
	_ = json.Unmarshal(name, &s) // cannot fail: it is valid
	return s
}
