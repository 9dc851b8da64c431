package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Merge applies the RFC 7396 merge patch to target and returns the result, nil when the patch is null. Both must be valid JSON
// no deeper than Check lets through; target may be blank. Values that the patch does not reach keep their text. Each byte is read
// a fixed number of times, however deep it lies.
func Merge(target, patch []byte) ([]byte, error) {
	if Blank(patch) {
		return nil, nil
	}
	if !json.Valid(patch) || len(bytes.TrimSpace(target)) > 0 && !json.Valid(target) {
		return nil, errors.New("merge what is not valid JSON")
	}
	p := parse(patch)
	if p.fields == nil {
		return bytes.Clone(p.text), nil
	}
	text, err := parse(target).patched(p).append(nil)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("write merged object: %w", err)
	}
	return out.Bytes(), nil
}

// value is JSON that was read once: its text, and the fields of an object. Objects within lists stay text.
type value struct {
	text   []byte           // nil for an object that has changed
	fields map[string]value // nil: no object
}

func (v value) null() bool { return v.fields == nil && (len(v.text) == 0 || v.text[0] == 'n') }

// patched returns v with a patch applied. It changes the fields of v.
func (v value) patched(patch value) value {
	if patch.fields == nil {
		return patch
	}
	v.text = nil
	if v.fields == nil {
		v.fields = map[string]value{}
	}
	for name, change := range patch.fields {
		if change.null() {
			delete(v.fields, name)
			continue
		}
		v.fields[name] = v.fields[name].patched(change)
	}
	return v
}

// append writes v behind out, fields in the order of their names.
func (v value) append(out []byte) ([]byte, error) {
	if v.text != nil {
		return append(out, v.text...), nil
	}
	out = append(out, '{')
	for i, name := range slices.Sorted(maps.Keys(v.fields)) {
		if i > 0 {
			out = append(out, ',')
		}
		quoted, err := Encode(name)
		if err != nil {
			return nil, fmt.Errorf("write the name of a field: %w", err)
		}
		if out, err = v.fields[name].append(append(append(out, quoted...), ':')); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

// parse reads a document that is valid or blank.
func parse(doc []byte) value {
	r := reader{doc: bytes.TrimSpace(doc)}
	if len(r.doc) == 0 {
		return value{}
	}
	return r.value()
}

// reader goes over a valid document once.
type reader struct {
	doc []byte
	at  int
}

// value reads the value that begins here.
func (r *reader) value() value {
	begin := r.at
	var fields map[string]value
	switch r.doc[r.at] {
	case '{':
		fields = r.object()
	case '[':
		r.list()
	case '"':
		r.string()
	default:
		for r.at < len(r.doc) && bytes.IndexByte([]byte(",]} \t\r\n"), r.doc[r.at]) < 0 {
			r.at++
		}
	}
	return value{r.doc[begin:r.at], fields}
}

// object reads fields. Of several with one name the last counts, as in encoding/json.
func (r *reader) object() map[string]value {
	fields := map[string]value{}
	r.at++
	for r.next() != '}' {
		var name string
		_ = json.Unmarshal(r.string(), &name) // it is valid
		r.next()
		r.at++ // the colon
		r.next()
		fields[name] = r.value()
		if r.next() == ',' {
			r.at++
		}
	}
	r.at++
	return fields
}

// list goes over a list without looking into it.
func (r *reader) list() {
	for level := 0; ; {
		switch r.doc[r.at] {
		case '"':
			r.string()
			continue
		case '[', '{':
			level++
		case ']', '}':
			level--
		}
		if r.at++; level == 0 {
			return
		}
	}
}

// string goes over a string and returns it with its quotes.
func (r *reader) string() []byte {
	begin := r.at
	for r.at++; r.doc[r.at] != '"'; r.at++ {
		if r.doc[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	return r.doc[begin:r.at]
}

// next goes over white space and returns what is behind it.
func (r *reader) next() byte {
	for bytes.IndexByte([]byte(" \t\r\n"), r.doc[r.at]) >= 0 {
		r.at++
	}
	return r.doc[r.at]
}
