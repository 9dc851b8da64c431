package socket

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rawjson"
	"rollcall/internal/rescue"
)

// maxDepth is how deep the JSON of an event or of a CONNECT may be nested.
const maxDepth = 64

// maxAttachments is how many binary parts an event may announce.
const maxAttachments = 10

// wire is a parser for the library that builds nothing out of what clients send but the name of an event, its first
// argument and the token of a CONNECT, and these stay JSON text: no digit is lost, and a packet costs little more memory
// than its bytes, whatever is in it.
type wire struct{ net *rescue.Net }

// NewEncoder implements the library's Parser.
func (wire) NewEncoder() parser.Encoder { return parser.NewEncoder() }

// NewDecoder implements the library's Parser.
func (w wire) NewDecoder() parser.Decoder { return &decoder{types.NewEventEmitter(), w.net} }

type decoder struct {
	types.EventEmitter
	net *rescue.Net
}

// Destroy implements the library's Decoder.
func (d *decoder) Destroy() {}

// Add implements the library's Decoder. An error ends the session.
func (d *decoder) Add(data any) error {
	text, ok := data.(*types.StringBuffer)
	if !ok {
		return nil // a binary part of something; there is nothing that takes any
	}
	var p *parser.Packet
	err := d.net.Try("decode a packet", func() (err error) {
		p, err = decodePacket(text.Bytes())
		return err
	})
	if err != nil || p == nil {
		return err
	}
	d.Emit("decoded", p)
	return nil
}

// ackID is the number under which a client waits for the answer to an event.
type ackID uint64

var (
	errMalformed = errors.New("malformed packet")
	errBinary    = errors.New("binary, which is not understood")
)

// decodePacket reads a Socket.IO packet. The result is nil for one that the library need not know of.
func decodePacket(text []byte) (*parser.Packet, error) {
	if len(text) == 0 {
		return nil, errMalformed
	}
	switch body := text[1:]; parser.PacketType(text[0] - '0') {
	case parser.CONNECT:
		return decodeConnect(body)
	case parser.DISCONNECT:
		nsp, rest, err := cutNamespace(body)
		if err != nil || len(rest) > 0 {
			return nil, errMalformed
		}
		return &parser.Packet{Type: parser.DISCONNECT, Nsp: nsp}, nil
	case parser.EVENT:
		return decodeEvent(body)
	case parser.BINARY_EVENT:
		return decodeBinaryEvent(body)
	case parser.ACK, parser.BINARY_ACK:
		return nil, nil // the seat has seen it; the library asks for none, and would end the session over a forged one
	}
	return nil, errMalformed // clients have no other
}

// cutNamespace cuts an optional namespace and the comma behind it from the front of a packet's body.
func cutNamespace(text []byte) (nsp string, rest []byte, err error) {
	if !bytes.HasPrefix(text, []byte("/")) {
		return "/", text, nil
	}
	name, rest, _ := bytes.Cut(text, []byte(","))
	if len(name) > parser.DefaultMaxNamespaceLength {
		return "", nil, errMalformed
	}
	return string(name), rest, nil
}

// decodeConnect reads a CONNECT without its type: an optional namespace, and an optional object, of which only token is
// of interest. It becomes a json.RawMessage, of whatever JSON type the client has sent.
func decodeConnect(text []byte) (*parser.Packet, error) {
	nsp, rest, err := cutNamespace(text)
	if err != nil {
		return nil, err
	}
	p := &parser.Packet{Type: parser.CONNECT, Nsp: nsp}
	if rawjson.Blank(rest) {
		return p, nil
	}
	var auth struct {
		Token json.RawMessage `json:"token"`
	}
	if rawjson.Check(rest, maxDepth) != nil || json.Unmarshal(rest, &auth) != nil {
		return nil, errMalformed
	}
	p.Data = map[string]any{tokenKey: auth.Token}
	return p, nil
}

// decodeBinaryEvent reads an event that has binary parts, which come behind it. It is answered like one whose argument
// cannot be read.
func decodeBinaryEvent(text []byte) (*parser.Packet, error) {
	count, rest, ok := bytes.Cut(text, []byte("-"))
	if n, err := strconv.ParseUint(string(count[:min(len(count), maxDigits+1)]), 10, 64); !ok || err != nil || n > maxAttachments {
		return nil, errMalformed
	}
	p, err := decodeEvent(rest)
	if err != nil {
		return nil, err
	}
	args := p.Data.([]any) // as decodeEvent made it
	event := []any{args[0], errBinary}
	if ack, ok := args[len(args)-1].(ackID); ok {
		event = append(event, ack)
	}
	p.Data = event
	return p, nil
}

// decodeEvent reads an event packet without its type: an optional namespace and comma, an optional ack id, and an
// array that begins with the name. What is decoded is the name, the first argument as json.RawMessage if there is one,
// and the ackID if there is one: more arguments than one are nothing to any event.
func decodeEvent(text []byte) (*parser.Packet, error) {
	nsp, text, err := cutNamespace(text)
	if err != nil {
		return nil, err
	}
	p := &parser.Packet{Type: parser.EVENT, Nsp: nsp}
	var ack []any // the id last, in place of the library's callback: the answer is a frame of ours
	digits := leadingDigits(text)
	if digits > 0 {
		id, err := strconv.ParseUint(string(text[:digits]), 10, 64)
		if err != nil {
			return nil, errMalformed
		}
		ack, text = append(ack, ackID(id)), text[digits:]
	}
	deep := rawjson.Check(text, maxDepth)
	if deep != nil && !errors.Is(deep, rawjson.ErrTooDeep) {
		return nil, errMalformed
	}
	d := json.NewDecoder(bytes.NewReader(text))
	name, err := nameOf(d)
	switch {
	case parser.ReservedEvents.Has(name), err != nil && deep == nil: // the seat listens to some of these names itself
		return nil, errMalformed
	case deep != nil:
		p.Data = append([]any{name, deep}, ack...) // answered as a bad payload; the session goes on
		return p, nil
	}
	event := []any{name}
	if d.More() {
		var arg json.RawMessage
		if err := d.Decode(&arg); err != nil {
			return nil, errMalformed
		}
		event = append(event, arg)
	}
	p.Data = append(event, ack...)
	return p, nil
}

// leadingDigits returns how many digits text begins with, at most one more than any number has.
func leadingDigits(text []byte) int {
	n := 0
	for n < len(text) && n <= maxDigits && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}

// nameOf reads the beginning of an array, up to and with the name of the event.
func nameOf(d *json.Decoder) (string, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return "", errMalformed
	}
	t, err := d.Token()
	if err != nil {
		return "", errMalformed
	}
	name, ok := t.(string)
	if !ok {
		return "", errMalformed
	}
	return name, nil
}
