package auth

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is signed for development is what is read, whichever claims are left out.
func TestSignedIsVerified(t *testing.T) {
	soon := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	for name, who := range map[string]Identity{
		"bare":                         {UserID: "7", ExpiresAt: soon},
		"everything":                   {UserID: "张三", Name: "Zhang San", Role: "host", System: true, Conferences: Conferences{Said: true, IDs: []string{"42", "x:y"}}, ExpiresAt: soon},
		"no conference":                {UserID: "7", Conferences: Conferences{Said: true}, ExpiresAt: soon},
		"every one":                    {UserID: "7", Conferences: Conferences{Said: true, All: true}, ExpiresAt: soon},
		"a digit too many for a float": {UserID: "1234567890123456789", ExpiresAt: soon},
	} {
		for _, claim := range []string{"", "uid"} {
			v, err := NewVerifier(VerifierConfig{HS256Secret: ourSecret, Issuer: ourIssuer, Audience: ourAudience, UserClaim: claim})
			if err != nil {
				t.Fatal(err)
			}
			token, err := Sign(Signing{Identity: who, Secret: ourSecret, UserClaim: claim, Issuer: ourIssuer, Audience: ourAudience})
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(who, got); diff != "" {
				t.Errorf("%s (-signed +verified):\n%s", name, diff)
			}
		}
	}
	if _, err := Sign(Signing{Identity: Identity{UserID: "7"}}); err == nil {
		t.Error("a token was signed without a secret")
	}
}
