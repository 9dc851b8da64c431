package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"rollcall/internal/auth"
	"rollcall/internal/config"
	"rollcall/internal/id"
)

// keygen makes a key of a caller of REST and says what is to be put into the configuration. The key is nowhere else.
func keygen(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("keygen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	name := flags.String("name", "backend", "who has the key")
	role := flags.String("role", auth.Backend.String(), "viewer, backend or admin")
	if err := parse(flags, args, stdout); err != nil {
		return err
	}
	if err := config.CheckKeyName(*name); err != nil {
		return fmt.Errorf("%w: -name: %v", errUsage, err)
	}
	roles := []string{auth.Viewer.String(), auth.Backend.String(), auth.Admin.String()}
	if !slices.Contains(roles, *role) {
		return fmt.Errorf("%w: -role: expected one of %s, found %q", errUsage, strings.Join(roles, ", "), *role)
	}
	key, hash := auth.NewKey()
	_, err := fmt.Fprintf(stdout, `%s

# Above is the key, which is shown this once; callers send it as "Authorization: Bearer KEY".
# What follows is for the configuration file, which holds no more than its hash.
auth:
  api_keys:
    - name: %q
      role: %s
      sha256: %s
`, key, *name, *role, hash)
	return err
}

// token signs a token for development and prints it alone, so that TOKEN=$(server token -user 7) works.
func token(args, environ []string, stdout io.Writer) error {
	var who auth.Identity
	var lifetime time.Duration
	flags := func(f *flag.FlagSet) {
		f.StringVar(&who.UserID, "user", "", "id of the user")
		f.Func("conferences", "ids of conferences separated by commas, or *", func(list string) error { return readConferences(&who.Conferences, list) })
		f.StringVar(&who.Name, "name", "", "name of the user")
		f.StringVar(&who.Role, "role", "", "host, member or observer")
		f.BoolVar(&who.System, "system", false, "the token may be that of a system client")
		f.DurationVar(&lifetime, "for", time.Hour, "how long the token is valid")
	}
	return configured(args, environ, stdout, func(c config.Config) error {
		if err := checkToken(who, lifetime); err != nil {
			return err
		}
		if c.Auth.HS256Secret == "" {
			return errors.New("auth.hs256_secret is not set, and a token is signed with it: set it in the configuration file, or as ROLLCALL_AUTH_HS256_SECRET")
		}
		who.ExpiresAt = time.Now().Add(lifetime)
		text, err := auth.Sign(auth.Signing{Identity: who, Secret: c.Auth.HS256Secret, UserClaim: c.Auth.UserClaim, Issuer: c.Auth.Issuer, Audience: c.Auth.Audience})
		if err != nil {
			return err
		}
		return say(stdout, text)
	}, flags)
}

func readConferences(c *auth.Conferences, list string) error {
	*c = auth.Conferences{Said: true, All: list == "*"}
	if c.All || list == "" {
		return nil
	}
	for conferenceID := range strings.SplitSeq(list, ",") {
		if err := id.Check(conferenceID); err != nil {
			return fmt.Errorf("an id %w", err)
		}
		c.IDs = append(c.IDs, conferenceID)
	}
	return nil
}

func checkToken(who auth.Identity, lifetime time.Duration) error {
	if id.Nobody(who.UserID) {
		return fmt.Errorf("%w: token needs -user ID", errUsage)
	}
	if err := id.Check(who.UserID); err != nil {
		return fmt.Errorf("%w: -user: an id %v", errUsage, err)
	}
	if roles := []string{"", "host", "member", "observer"}; !slices.Contains(roles, who.Role) {
		return fmt.Errorf("%w: -role: expected host, member or observer, found %q", errUsage, who.Role)
	}
	if lifetime <= 0 {
		return fmt.Errorf("%w: -for: expected a duration such as 1h, found %v", errUsage, lifetime)
	}
	return nil
}
