// Package id holds the identifiers of rollcall: which texts may name a user, a conference, a device,
// and how new names are made.
package id

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxLength is the most characters (not bytes) that an identifier may have.
const MaxLength = 64

// Check reports why s cannot be an identifier, or nil when it can: 1 to 64 Unicode letters, digits
// and ". _ : @ -", in Normal Form C. The error is fit to be shown to whoever sent s; it does not repeat s.
func Check(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("must not be empty")
	case len(s) > MaxLength*utf8.UTFMax || utf8.RuneCountInString(s) > MaxLength:
		return fmt.Errorf("must have at most %d characters", MaxLength)
	case !utf8.ValidString(s):
		return fmt.Errorf("must be valid UTF-8")
	}
	for _, r := range s {
		if !allowed(r) {
			return fmt.Errorf("must consist of letters, digits and . _ : @ -")
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return fmt.Errorf("must be in Unicode Normal Form C")
	}
	return nil
}

func allowed(r rune) bool {
	switch r {
	case '.', '_', ':', '@', '-':
		return true
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

// Nobody reports whether s, given where a user is expected, names no one: blank, or the words that
// careless clients send for a missing value.
func Nobody(s string) bool {
	return s == "" || s == "undefined" || s == "null"
}

// NoConference reports whether s, given where a conference is expected, means none.
func NoConference(s string) bool {
	return s == "" || s == "0" || s == "undefined" || s == "null"
}

// ID is an identifier as it stands in JSON: a string, or an integer that is read as its exact decimal
// text, so that 19 digits survive clients that write ids as numbers. null reads as "".
type ID string

// UnmarshalJSON reads a string, an integer or null. It does not check the alphabet; see Check.
func (i *ID) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case bytes.Equal(b, []byte("null")):
		*i = ""
		return nil
	case len(b) > 0 && b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*i = ID(s)
		return nil
	case len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9'):
		if bytes.ContainsAny(b, ".eE") {
			return fmt.Errorf("an id that is a number must be an integer")
		}
		*i = ID(b)
		return nil
	}
	return fmt.Errorf("an id must be a string or an integer")
}
