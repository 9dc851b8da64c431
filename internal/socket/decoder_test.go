package socket

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"rollcall/internal/rawjson"
	"rollcall/internal/rescue"
)

func TestDecodeEvent(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for text, want := range map[string][]any{
		`["a"]`:                     {"a"},
		`["a",1234567890123456789]`: {"a", raw(`1234567890123456789`)},
		`17["a",{"b":[1]},"c"]`:     {"a", raw(`{"b":[1]}`), ackID(17)},
		`/admin,3["a"]`:             {"a", ackID(3)},
		`18446744073709551615["a"]`: {"a", ackID(18446744073709551615)},
		`["a\u0000b"]`:              {"a\x00b"},
		`5["a",` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `]`: nil,
	} {
		p, err := decodeEvent([]byte(text))
		if err != nil {
			t.Errorf("%.40s: %v", text, err)
			continue
		}
		got, _ := p.Data.([]any)
		if want == nil { // too deep: the name, an error in place of the argument, the ack
			if _, isErr := got[1].(error); got[0] != "a" || !isErr || got[2] != ackID(5) {
				t.Errorf("%.40s: %v", text, got)
			}
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
	for _, text := range []string{``, `[`, `[]`, `{}`, `[1]`, `[null]`, `["connect"]`, `["disconnect"]`, `99999999999999999999999["a"]`, `/admin`, `["a"]x`, `["a",]`, "[\"a\x01\"]", `/` + strings.Repeat("x", 600) + `,["a"]`} {
		if p, err := decodeEvent([]byte(text)); err == nil {
			t.Errorf("%.40q was read as %v", text, p.Data)
		}
	}
}

// An event that is nested too deeply was handed on under any name, also under those that the library keeps for itself: a client
// that said "disconnect" so ended its own seat and stayed in every room.
func TestDeepEventCannotBearAReservedName(t *testing.T) {
	deep := `,` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `]`
	for _, name := range parser.ReservedEvents.Keys() {
		for _, text := range []string{`2["` + name + `"` + deep, `27["` + name + `"` + deep, `51-["` + name + `"` + deep, `2["\u00` + fmt.Sprintf("%x", name[0]) + name[1:] + `"` + deep} {
			if p, err := decodePacket([]byte(text)); err == nil {
				t.Errorf("%.40s was read as %.40v", text, p.Data)
			}
		}
	}
	if p, err := decodePacket([]byte(`2[7` + deep)); err != nil || p.Data.([]any)[0] != "" {
		t.Errorf("a deep event without a name was refused as %v, and ended a session that sent nonsense before", err)
	}
}

// FuzzDecoder feeds packets to the decoder as the engine does. Whatever comes, it must not panic, and what it accepts
// must be a packet that the library can go on with, of which the intake knew the essence.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{`2["a"]`, `21["roster",{}]`, `0`, `1`, `0{"token":"x"}`, `0/,{"token":[1]}`, `31[]`, `51-7["a",{"_placeholder":true,"num":0}]`, `4{"message":"x"}`, `2/x,["a"]`, ``, `2[`, `1/x,`, `60-`, `2["disconnect",` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `]`, `2["\u0061",[[[]]],1]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := wire{rescue.New(slog.New(slog.DiscardHandler), nil)}.NewDecoder()
		_ = d.On("decoded", func(args ...any) {
			p, ok := args[0].(*parser.Packet)
			if !ok {
				t.Fatalf("%q was decoded as %v", data, args[0])
			}
			switch p.Type {
			case parser.EVENT:
				checkEvent(t, data, p)
			case parser.CONNECT:
				if auth, _ := p.Data.(map[string]any); p.Data != nil && len(auth) != 1 {
					t.Errorf("%q brings %v", data, p.Data)
				}
			case parser.DISCONNECT:
				if p.Data != nil {
					t.Errorf("%q brings %v", data, p.Data)
				}
			default:
				t.Errorf("%q was decoded as %v", data, p)
			}
		})
		if err := d.Add(types.NewStringBuffer(data)); errors.Is(err, rescue.ErrPanic) {
			t.Error(err)
		}
		d.Destroy()
	})
}

// checkEvent checks an event against what the first bytes of its packet say.
func checkEvent(t *testing.T, data []byte, p *parser.Packet) {
	list, _ := p.Data.([]any)
	if len(list) == 0 || len(list) > 3 {
		t.Fatalf("%q was decoded as %v", data, p.Data)
	}
	if name, _ := list[0].(string); parser.ReservedEvents.Has(name) {
		t.Errorf("%q is an event of the library's own: %v", data, list)
	}
	if arg, err := argument(list); err == nil && arg != nil && rawjson.Check(arg, maxDepth) != nil {
		t.Errorf("%q has the argument %q", data, arg)
	}
	ack, asked := list[len(list)-1].(ackID)
	h := readHead(append([]byte("4"), data...))
	if !h.event || p.Nsp == "/" && !bytes.Contains(data, []byte("/,")) && (h.ack != ack || h.asked != asked) {
		t.Errorf("%q is %+v, but its first bytes say %+v", data, list, h)
	}
	if h.name != otherEvent && h.name != list[0] {
		t.Errorf("%q is %+v, but is counted as %s", data, list, h.name)
	}
}
