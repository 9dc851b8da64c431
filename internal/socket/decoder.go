package socket

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rawjson"
)

// maxDepth is how deep the JSON of an event may be nested.
const maxDepth = 64

// wire is the library's parser but for events, whose arguments stay JSON text: no digit is lost, nothing is
// built before its size and depth are known, and what events mean is read from text in one place.
type wire struct{}

// NewEncoder implements the library's Parser.
func (wire) NewEncoder() parser.Encoder { return parser.NewEncoder() }

// NewDecoder implements the library's Parser.
func (wire) NewDecoder() parser.Decoder { return &decoder{Decoder: parser.NewDecoder()} }

type decoder struct{ parser.Decoder }

// Add implements the library's Decoder. An error ends the session.
func (d *decoder) Add(data any) error {
	text, ok := data.(*types.StringBuffer)
	switch {
	case !ok || text.Len() == 0:
		return d.Decoder.Add(data)
	case text.Bytes()[0] == byte('0'+parser.ACK):
		return nil // the seat has seen it; the library asks for none, and would end the session over a forged one
	case text.Bytes()[0] != byte('0'+parser.EVENT):
		return d.Decoder.Add(data)
	}
	p, err := decodeEvent(text.Bytes()[1:])
	if err != nil {
		return err
	}
	d.Emit("decoded", p)
	return nil
}

// ackID is the number under which a client waits for the answer to an event.
type ackID uint64

var errMalformed = errors.New("malformed event packet")

// decodeEvent reads an event packet without its type: an optional namespace and comma, an optional ack id, and an
// array that begins with the name. The arguments become json.RawMessage.
func decodeEvent(text []byte) (*parser.Packet, error) {
	p := &parser.Packet{Type: parser.EVENT, Nsp: "/"}
	if bytes.HasPrefix(text, []byte("/")) {
		nsp, rest, ok := bytes.Cut(text, []byte(","))
		if !ok || len(nsp) > parser.DefaultMaxNamespaceLength {
			return nil, errMalformed
		}
		p.Nsp, text = string(nsp), rest
	}
	var ack []any // the id last, in place of the library's callback: the answer is a frame of ours
	digits := 0
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		id, err := strconv.ParseUint(string(text[:digits]), 10, 64)
		if err != nil {
			return nil, errMalformed
		}
		ack, text = append(ack, ackID(id)), text[digits:]
	}
	if err := rawjson.Check(text, maxDepth); errors.Is(err, rawjson.ErrTooDeep) {
		p.Data = append([]any{nameOf(text), err}, ack...) // answered as a bad payload; the session goes on
		return p, nil
	} else if err != nil {
		return nil, errMalformed
	}
	var args []json.RawMessage
	if err := json.Unmarshal(text, &args); err != nil || len(args) == 0 {
		return nil, errMalformed
	}
	var name string
	if err := json.Unmarshal(args[0], &name); err != nil || args[0][0] != '"' || parser.ReservedEvents.Has(name) {
		return nil, errMalformed
	}
	event := make([]any, len(args))
	event[0] = name
	for i, a := range args[1:] {
		event[i+1] = a
	}
	p.Data = append(event, ack...)
	return p, nil
}

// nameOf reads the name of an event whose arguments are not to be read.
func nameOf(text []byte) string {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return ""
	}
	t, err := d.Token()
	if err != nil {
		return ""
	}
	name, _ := t.(string)
	return name
}
