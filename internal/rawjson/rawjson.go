// Package rawjson works on JSON as text, so that every digit and every byte of a value that is none of
// our business stays as it was given.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrTooDeep is returned by Check for a document nested deeper than allowed.
var ErrTooDeep = errors.New("nested too deeply")

// Check reports why doc is not one JSON value nested at most depth levels deep. It reads the text once,
// builds nothing, and so costs no memory however hostile the document is.
func Check(doc []byte, depth int) error {
	level, inString := 0, false
	for i := 0; i < len(doc); i++ {
		c := doc[i]
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if level++; level > depth {
				return ErrTooDeep
			}
		case c == '}' || c == ']':
			level--
		}
	}
	if !json.Valid(doc) {
		return errors.New("not valid JSON")
	}
	return nil
}

// Repair returns doc with raw control characters inside strings escaped: the tabs and line feeds that
// careless writers leave there. Text without any is returned as it is.
func Repair(doc []byte) []byte {
	var out []byte // nil until something had to be escaped
	inString := false
	for i := 0; i < len(doc); i++ {
		c := doc[i]
		if inString && c < 0x20 {
			if out == nil {
				out = append(make([]byte, 0, len(doc)+64), doc[:i]...)
			}
			out = fmt.Appendf(out, `\u%04x`, c)
			continue
		}
		if out != nil {
			out = append(out, c)
		}
		if inString && c == '\\' && i+1 < len(doc) && doc[i+1] >= 0x20 {
			i++
			if out != nil {
				out = append(out, doc[i])
			}
			continue
		}
		if c == '"' {
			inString = !inString
		}
	}
	if out == nil {
		return doc
	}
	return out
}

// Blank reports whether doc holds nothing: empty, white space, or null.
func Blank(doc []byte) bool {
	doc = bytes.TrimSpace(doc)
	return len(doc) == 0 || bytes.Equal(doc, []byte("null"))
}

// Object reads doc as an object whose values stay text. ok is false when doc is anything else.
func Object(doc []byte) (fields map[string]json.RawMessage, ok bool) {
	if err := json.Unmarshal(doc, &fields); err != nil || fields == nil {
		return nil, false
	}
	return fields, true
}

// Encode is json.Marshal without turning <, > and & into escapes: text stays as it was given.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
