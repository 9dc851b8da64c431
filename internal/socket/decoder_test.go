package socket

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

func TestDecodeEvent(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	for text, want := range map[string][]any{
		`["a"]`:                     {"a"},
		`["a",1234567890123456789]`: {"a", raw(`1234567890123456789`)},
		`17["a",{"b":[1]},"c"]`:     {"a", raw(`{"b":[1]}`), raw(`"c"`), ackID(17)},
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

// FuzzDecoder feeds packets to the decoder as the engine does. Whatever comes, it must not panic, and what it accepts
// must be a packet that the library can go on with.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{`2["a"]`, `21["a",{}]`, `0`, `1`, `0{"token":"x"}`, `31[]`, `51-["a",{"_placeholder":true,"num":0}]`, `4{"message":"x"}`, `2/x,["a"]`, ``, `2[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := wire{}.NewDecoder()
		_ = d.On("decoded", func(args ...any) {
			p, ok := args[0].(*parser.Packet)
			if !ok || !p.Type.Valid() {
				t.Errorf("%q was decoded as %v", data, args[0])
			}
			if p.Type == parser.EVENT {
				list, ok := p.Data.([]any)
				if !ok || len(list) == 0 {
					t.Errorf("%q was decoded as an event without a name", data)
				}
				if _, err := argument(list); err != nil && len(list) < 2 {
					t.Errorf("%q: %v", data, err)
				}
			}
		})
		_ = d.Add(types.NewStringBuffer(data))
		d.Destroy()
	})
}
