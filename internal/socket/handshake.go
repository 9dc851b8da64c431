package socket

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/id"
)

// handshake is what a client says of itself when it connects.
type handshake struct {
	userID       string // "" for nobody
	userName     string // believed only without auth
	conferenceID string // "" for none
	clientType   string
	deviceID     string
	system       bool // takes part in delivery, has no presence
	patches      bool // wants to be told what has changed in a tree, not all of it each time
}

// maxName is how many characters of a name are kept.
const maxName = 128

// readHandshake reads the query of a handshake. The fault it returns is for good: the same client will never be let in.
func readHandshake(q url.Values) (handshake, error) {
	var h handshake
	read := []struct {
		key, code string
		into      *string
	}{
		{"userId", "bad_user_id", &h.userID},
		{"conferenceId", "bad_conference_id", &h.conferenceID},
		{"clientType", "bad_client_type", &h.clientType},
		{"deviceId", "bad_client_type", &h.deviceID},
	}
	for _, r := range read {
		v, ok := single(q, r.key)
		if !ok {
			return handshake{}, fault.New(fault.Invalid, r.code, r.key+" must be given once")
		}
		if blank := strings.TrimSpace(v); id.Nobody(blank) || r.key == "conferenceId" && id.NoConference(blank) {
			continue
		}
		if err := id.Check(v); err != nil {
			return handshake{}, fault.New(fault.Invalid, r.code, r.key+" "+err.Error())
		}
		*r.into = strings.Clone(v) // it is a part of the whole URL, which may hold a token, too
	}
	if h.clientType == "" {
		h.clientType = "web"
	}
	system, once := single(q, "is_system")
	name, too := single(q, "userName")
	if !once || !too {
		return handshake{}, fault.New(fault.Invalid, "bad_client_type", "is_system and userName must be given once")
	}
	h.system, h.userName = strings.TrimSpace(system) != "", cleanName(name)
	switch tree, once := single(q, "tree"); {
	case !once, tree != "" && tree != "full" && tree != "patch":
		return handshake{}, fault.New(fault.Invalid, "bad_client_type", "tree must be full or patch, and given once")
	default:
		h.patches = tree == "patch"
	}
	return h, nil
}

// single returns the value of a key that may be given at most once, and not as an array.
func single(q url.Values, key string) (value string, ok bool) {
	for k := range q {
		if strings.HasPrefix(k, key+"[") {
			return "", false
		}
	}
	switch v := q[key]; len(v) {
	case 0:
		return "", true
	case 1:
		return v[0], true
	}
	return "", false
}

// cleanName keeps what can be shown of a name.
func cleanName(s string) string {
	if !utf8.ValidString(s) {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName])
	}
	return strings.Clone(strings.TrimSpace(s))
}
