package conference

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
)

// section is one of the eight parts of the tree: its name on the wire and its column.
type section struct{ name, column string }

// The sections in the order in which they stand in the tree.
var sections = [...]section{
	{"conferenceStatus", "conference_status"},
	{"conferenceInfo", "conference_content"},
	{"topicInfo", "topic_content"},
	{"countersignData", "countersign_data"},
	{"timer", "timer"},
	{"sameScreen", "same_screen"},
	{"headData", "head_data"},
	{"signInData", "sign_in_data"},
}

// Positions of the sections that have rules of their own.
const (
	status        = 0
	timerSection  = 4
	screenSection = 5
	head          = 6
	signInSection = 7
)

// sectionNamed returns the position of a section by its wire name.
func sectionNamed(name string) (int, bool) {
	for i, s := range sections {
		if s.name == name {
			return i, true
		}
	}
	return 0, false
}

// content is the tree's content as JSON text, section by section; nil where a section is blank. broken marks
// sections whose column holds something that is not JSON; their text is nil too.
type content struct {
	columns [len(sections)]string // of which it was made
	text    [len(sections)]json.RawMessage
	broken  [len(sections)]bool
	digest  string
}

// read makes content out of columns as others may have written them. given is the JSON that REST gave for the
// status, which tells "1" from 1. known is content whose columns need not be parsed again where they are the same; it may be empty.
func read(columns [len(sections)]string, given string, known content) content {
	c := content{columns: columns}
	hash := sha256.New()
	for i, column := range columns {
		if column == known.columns[i] && i != status {
			c.text[i], c.broken[i] = known.text[i], known.broken[i]
		} else {
			c.text[i], c.broken[i] = readSection(i, column, given)
		}
		part := []byte(column)
		if !c.broken[i] {
			part = c.text[i]
		}
		if i == head && !c.broken[i] {
			part = withoutCount(part)
		}
		hash.Write(strconv.AppendInt(nil, int64(len(part)), 10)) // lengths keep neighbours apart
		hash.Write([]byte{':'})
		hash.Write(part)
	}
	c.digest = hex.EncodeToString(hash.Sum(nil))
	return c
}

func readSection(i int, column, given string) (text json.RawMessage, broken bool) {
	if i == status {
		return statusJSON(column, given), false
	}
	raw := rawjson.Repair([]byte(column))
	if rawjson.Blank(raw) {
		return nil, false
	}
	if rawjson.Check(raw, maxDepth) != nil {
		return nil, true
	}
	return bytes.TrimSpace(raw), false
}

// blank is the digest of a tree without content.
var blank = read([len(sections)]string{}, "", content{}).digest

// is reports whether the content is the one that a remembered digest stands for; "" stands for none.
func (c content) is(digest string) bool {
	return c.digest == digest || digest == "" && c.digest == blank
}

// maxDepth is how deep a section may be nested.
const maxDepth = 64

// statusJSON returns the status as JSON: what REST gave, if the column still says that, else the column as a string.
func statusJSON(column, given string) json.RawMessage {
	if column == "" {
		return nil
	}
	if given != "" && statusColumn([]byte(given)) == column {
		return json.RawMessage(given)
	}
	text, err := rawjson.Encode(column)
	if err != nil {
		return nil
	}
	return text
}

// statusColumn returns what stands in the column for a status given as JSON: a string without its quotes, any
// other scalar as it is written.
func statusColumn(given []byte) string {
	var s string
	if json.Unmarshal(given, &s) == nil {
		return s
	}
	return string(bytes.TrimSpace(given))
}

const countKey = "onLineNumber"

// withoutCount returns headData without the number of people online, nil if nothing else is in it: two rows that
// differ in nothing else have the same content.
func withoutCount(text json.RawMessage) json.RawMessage {
	fields, ok := rawjson.Object(text)
	if !ok {
		return text
	}
	delete(fields, countKey)
	if len(fields) == 0 {
		return nil
	}
	rest, err := rawjson.Encode(fields)
	if err != nil {
		return text
	}
	return rest
}

// withCount returns headData with the number of people online in it, whatever it held before.
func withCount(text json.RawMessage, online int) json.RawMessage {
	fields, ok := rawjson.Object(text)
	if !ok {
		fields = map[string]json.RawMessage{}
	}
	fields[countKey] = strconv.AppendInt(nil, int64(online), 10)
	out, err := rawjson.Encode(fields)
	if err != nil {
		return json.RawMessage(`{"` + countKey + `":` + strconv.Itoa(online) + `}`)
	}
	return out
}

// body returns the tree from "," after serverTime on: all sections that are not blank.
func (c content) body(online int) []byte {
	var b bytes.Buffer
	for i, s := range sections {
		text := c.text[i]
		if i == head {
			text = withCount(text, online)
		}
		if text == nil {
			continue
		}
		b.WriteString(`,"` + s.name + `":`)
		b.Write(text)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encodeTree puts the tree together. It is cheap enough to be done anew for each reader, so that serverTime is
// the time at which he reads.
func encodeTree(conferenceID string, version int64, body []byte) json.RawMessage {
	quoted, err := rawjson.Encode(conferenceID)
	if err != nil {
		quoted = []byte(`""`)
	}
	b := make([]byte, 0, len(body)+len(quoted)+80)
	b = append(append(b, `{"conferenceId":`...), quoted...)
	b = strconv.AppendInt(append(b, `,"version":`...), version, 10)
	b = strconv.AppendInt(append(b, `,"serverTime":`...), now(), 10)
	return append(b, body...)
}

// put replaces section i by text, nil for blank. It refuses what the section cannot be.
func (c *content) put(i int, text json.RawMessage) error {
	if rawjson.Blank(text) {
		c.text[i], c.broken[i] = nil, false
		return nil
	}
	text = bytes.TrimSpace(text)
	if i == status {
		if text[0] == '{' || text[0] == '[' {
			return fault.Invalidf("conferenceStatus must be a string, a number or a boolean")
		}
		if len(text) > 255 {
			return fault.Invalidf("conferenceStatus must have at most 255 bytes")
		}
	}
	if i == head {
		if text = withoutCount(text); text == nil {
			text = json.RawMessage("{}")
		}
	}
	c.text[i], c.broken[i] = text, false
	return nil
}

// column returns what is to stand in the database for section i.
func (c *content) column(i int) *string {
	if c.text[i] == nil {
		return nil
	}
	text := string(c.text[i])
	if i == status {
		text = statusColumn(c.text[i])
	}
	return &text
}

// size returns how many bytes the content takes on the wire, without names.
func (c *content) size() int {
	n := 0
	for _, t := range c.text {
		n += len(t)
	}
	return n
}
