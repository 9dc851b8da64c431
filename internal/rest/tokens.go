package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/fault"
	"rollcall/internal/message"
)

// tokensPath is where the backend of an older service posts to. The API lies below it.
const tokensPath = "/api"

// maxToken is the most characters of a token, which is a name of another system.
const maxToken = 512

// token is a tokenId of user_login, or an id of a user: a string, or an integer whose digits are kept as they are.
type token string

// UnmarshalJSON implements json.Unmarshaler.
func (t *token) UnmarshalJSON(b []byte) error {
	var r ref
	if err := r.UnmarshalJSON(b); err != nil {
		return err
	}
	*t = token(r)
	return nil
}

// Schema implements huma.SchemaProvider.
func (token) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		OneOf:       []*huma.Schema{{Type: huma.TypeString}, {Type: huma.TypeInteger}},
		Description: "A tokenId of user_login, at most 512 characters, or an id of a user; an integer is read as its exact digits",
	}
}

// tokensInput ignores fields that it does not know: it is the shape of an older service.
type tokensInput struct {
	Body struct {
		_          struct{}        `additionalProperties:"true"`
		Tokens     []token         `json:"tokens,omitempty" nullable:"false" doc:"At most 10000; nobody if left out"`
		Data       json.RawMessage `json:"data,omitempty" doc:"Any JSON, emitted untouched; null if left out"`
		EntityType json.RawMessage `json:"entityType,omitempty" doc:"Any JSON, emitted untouched; null if left out"`
	}
}

func (in *tokensInput) check() error {
	if len(in.Body.Tokens) > maxTokens {
		return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("body.tokens may have at most %d items", maxTokens))
	}
	for i, t := range in.Body.Tokens {
		if t == "" || utf8.RuneCountInString(string(t)) > maxToken || strings.ContainsFunc(string(t), unicode.IsControl) {
			return fault.Invalidf("body.tokens[%d] must have 1 to %d characters, none of them a control character", i, maxToken)
		}
	}
	return nil
}

const maxTokens = 10000

type delivered struct {
	Delivered int `json:"delivered" doc:"Sockets"`
}

func (d *Door) tokens() {
	register(d, operation{id: "deliver", role: backend, method: http.MethodPost, path: tokensPath, outside: true, tag: "push", summary: "Send data to the pages of some tokens", body: loose,
		detail: "Every socket that named one of the tokens in user_login gets receive_message. A token that none has named is an id of a user. Unknown fields are ignored."}, d.deliver)
}

func (d *Door) deliver(ctx context.Context, in *tokensInput) (*answer[delivered], error) {
	v := visitOf(ctx)
	m := message.Delivery{Actor: v.caller.Name, FromIP: v.address, EntityType: orNull(in.Body.EntityType), Data: orNull(in.Body.Data)}
	seen := make(map[token]bool, len(in.Body.Tokens))
	for _, t := range in.Body.Tokens {
		if !seen[t] {
			seen[t] = true
			m.Tokens = append(m.Tokens, string(t))
		}
	}
	if len(m.Tokens) == 0 {
		return ok(delivered{}), nil
	}
	n, err := d.Messages.Deliver(ctx, m)
	if err != nil {
		return nil, err
	}
	return ok(delivered{n}), nil
}
