package auth

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rollcall/internal/id"
)

const (
	maxName = 128
	// lastSecond is the end of the year 9999, seconds since 1970: times beyond it overflow somewhere.
	lastSecond = 253402300799
)

// claims are the members of a JSON object, each as its text.
type claims map[string]json.RawMessage

// rules say what the claims of a token must be.
type rules struct {
	issuer, audience, userClaim string
	leeway                      time.Duration
}

func newRules(c VerifierConfig) rules {
	return rules{issuer: c.Issuer, audience: c.Audience, userClaim: cmp.Or(c.UserClaim, "sub"), leeway: c.Leeway}
}

// identity returns what claims say, or a refusal. The claims were signed, or vouched for, by somebody who is trusted.
func (r rules) identity(said claims, now time.Time) (Identity, error) {
	who := Identity{Name: cleanName(said["name"]), Role: knownRole(said["role"]), System: string(said["system"]) == "true"}
	var err error
	if who.ExpiresAt, err = r.times(said, now); err != nil {
		return Identity{}, err
	}
	var issuer string
	if r.issuer != "" && (json.Unmarshal(said["iss"], &issuer) != nil || issuer != r.issuer) {
		return Identity{}, refusal{outcomeClaims, "the token is from another issuer"}
	}
	if r.audience != "" && !slices.Contains(audiences(said["aud"]), r.audience) {
		return Identity{}, refusal{outcomeClaims, "the token is for another audience"}
	}
	var user id.ID
	if json.Unmarshal(said[r.userClaim], &user) != nil || id.Check(string(user)) != nil || id.Nobody(string(user)) {
		return Identity{}, refusal{outcomeClaims, "the token names no valid user"}
	}
	who.UserID = string(user)
	var ok bool
	if who.Conferences, ok = conferences(said["conferences"]); !ok {
		return Identity{}, refusal{outcomeClaims, "the token names its conferences in a way that is not understood"}
	}
	return who, nil
}

// times checks exp and nbf and returns exp.
func (r rules) times(said claims, now time.Time) (expires time.Time, err error) {
	if absent(said["exp"]) {
		return time.Time{}, refusal{outcomeClaims, "the token has no exp"}
	}
	expires, ok := moment(said["exp"])
	if !ok {
		return time.Time{}, refusal{outcomeClaims, "the exp of the token is no time"}
	}
	if !now.Before(expires.Add(r.leeway)) {
		return time.Time{}, refusal{outcomeExpired, "the token has expired"}
	}
	if absent(said["nbf"]) {
		return expires, nil
	}
	begins, ok := moment(said["nbf"])
	if !ok {
		return time.Time{}, refusal{outcomeClaims, "the nbf of the token is no time"}
	}
	if now.Before(begins.Add(-r.leeway)) {
		return time.Time{}, refusal{outcomeClaims, "the token is not valid yet"}
	}
	return expires, nil
}

// absent reports whether a claim is not there. null is what careless issuers write for nothing.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// moment reads seconds since 1970, with or without a fraction.
func moment(raw json.RawMessage) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(raw), 64) // raw is JSON: a text has its quotes, and there is no NaN
	if err != nil || math.Abs(seconds) > lastSecond {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))), true
}

// audiences reads a text or a list of texts; anything else is none.
func audiences(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// conferences reads a list of ids, or "*" for all. ok is false for anything else.
func conferences(raw json.RawMessage) (c Conferences, ok bool) {
	if absent(raw) {
		return Conferences{}, true
	}
	c.Said = true
	if string(raw) == `"*"` {
		c.All = true
		return c, true
	}
	var list []id.ID
	if json.Unmarshal(raw, &list) != nil {
		return Conferences{}, false
	}
	for _, one := range list {
		switch {
		case one == "*":
			c.All = true
		case id.Check(string(one)) != nil:
			return Conferences{}, false
		default:
			c.IDs = append(c.IDs, string(one))
		}
	}
	return c, true
}

// cleanName keeps what can be shown of a name.
func cleanName(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName])
	}
	return strings.TrimSpace(s)
}

// knownRole keeps a role that members may have.
func knownRole(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || !slices.Contains([]string{"host", "member", "observer"}, s) {
		return ""
	}
	return s
}
