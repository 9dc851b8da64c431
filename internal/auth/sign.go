package auth

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"rollcall/internal/config"
)

// Signing is what Sign puts into a token.
type Signing struct {
	Identity  // what is zero is left out
	Secret    config.Secret
	UserClaim string // "" is sub
	Issuer    string // "" leaves it out
	Audience  string // "" leaves it out
}

// Sign returns an HS256 token, for development and tests. It does not ask whether a Verifier would take it; without a
// secret it fails.
func Sign(s Signing) (string, error) {
	if s.Secret == "" {
		return "", errors.New("a token cannot be signed without a secret")
	}
	claims := jwt.MapClaims{"iat": time.Now().Unix()}
	for claim, text := range map[string]string{"iss": s.Issuer, "aud": s.Audience, "name": s.Name, "role": s.Role, cmp.Or(s.UserClaim, "sub"): s.UserID} {
		if text != "" {
			claims[claim] = text
		}
	}
	if !s.ExpiresAt.IsZero() {
		claims["exp"] = float64(s.ExpiresAt.UnixMilli()) / 1000
	}
	if s.System {
		claims["system"] = true
	}
	switch {
	case s.Conferences.All:
		claims["conferences"] = "*"
	case s.Conferences.Said:
		claims["conferences"] = append([]string{}, s.Conferences.IDs...) // an empty list is no null
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(s.Secret.Reveal()))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return text, nil
}
