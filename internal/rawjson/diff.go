package rawjson

import "bytes"

// Diff returns the RFC 7396 merge patch that makes after out of before, both valid JSON no deeper than Check lets through or, before
// only, blank. It is {} for two objects that differ in nothing but white space and the order of fields. ok is false where no merge
// patch can say it: a null in after that is not within a list means to take something away.
func Diff(before, after []byte) (patch []byte, ok bool) {
	is := parse(after)
	change, differs, ok := parse(before).changeTo(is)
	if !ok {
		return nil, false
	}
	if !differs { // a patch that is no object is what comes out of it
		if change = is; is.fields != nil {
			return []byte("{}"), true
		}
	}
	patch, err := change.append(nil)
	return patch, err == nil
}

// changeTo returns the patch that makes after out of v.
func (v value) changeTo(after value) (patch value, differs, ok bool) {
	switch {
	case v.text != nil && bytes.Equal(v.text, after.text):
		return value{}, false, true
	case after.fields == nil:
		return after, true, !after.null()
	}
	patch.fields = make(map[string]value)
	for name, is := range after.fields {
		was, known := v.fields[name]
		change, differs, ok := was.changeTo(is)
		if !ok {
			return value{}, false, false
		}
		if differs || !known {
			patch.fields[name] = change
		}
	}
	for name := range v.fields {
		if _, kept := after.fields[name]; !kept {
			patch.fields[name] = value{text: []byte("null")}
		}
	}
	return patch, v.fields == nil || len(patch.fields) > 0, true
}
