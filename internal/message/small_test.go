package message

import (
	"bytes"
	"encoding/json"
	"testing"

	"rollcall/internal/hall"
	"rollcall/internal/presence"
)

// users makes registered users of pairs of id and name.
func users(pairs ...string) (list []presence.User) {
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, presence.User{ID: pairs[i], Name: pairs[i+1]})
	}
	return list
}

func contains(text json.RawMessage, part string) bool { return bytes.Contains(text, []byte(part)) }

func only(user string) hall.Audience { return hall.Audience{Users: []string{user}} }

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
