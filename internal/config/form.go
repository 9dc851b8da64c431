package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
)

// The functions here say whether a text has the form that a key wants: nil, or what was expected.
// Those about secrets do not repeat them, nor what a parser says of them.

// listenAddress returns the host of host:port, where an empty host means every address of the machine.
func listenAddress(addr string) (host string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || !portNumber(port, 0) || strings.ContainsAny(host, " /") {
		return "", fmt.Errorf("expected host:port such as 127.0.0.1:8080, found %q", addr)
	}
	return host, nil
}

// dialAddress wants a host and a port that one can connect to.
func dialAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || !portNumber(port, 1) || strings.ContainsAny(host, " /") {
		return fmt.Errorf("expected host:port such as 127.0.0.1:6379, found %q", addr)
	}
	return nil
}

func portNumber(text string, least uint64) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n >= least
}

// loopback reports whether only this machine can reach the host. A name other than localhost is not
// looked up: what it means may change while the server runs.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func network(text string) error {
	_, errAddr := netip.ParseAddr(text)
	_, errPrefix := netip.ParsePrefix(text)
	if errAddr != nil && errPrefix != nil {
		return fmt.Errorf("expected an IP address or a network such as 10.0.0.0/8, found %q", text)
	}
	return nil
}

// origin wants what a browser puts in the Origin header, or *.
func origin(text string) error {
	if text == "*" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.Scheme+"://"+strings.ToLower(u.Host) != text {
		return fmt.Errorf("expected scheme://host or scheme://host:port in lower case and nothing behind it, or *, found %q", text)
	}
	return nil
}

// webURL does not repeat the text: it may carry a password or a token.
func webURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("expected an http or https URL with a host")
	}
	return nil
}

// urlPath leaves out what a router may take for a pattern.
var urlPath = regexp.MustCompile(`^/([A-Za-z0-9._~-]+/)+$`)

func socketPath(text string) error {
	if !urlPath.MatchString(text) || path.Clean(text)+"/" != text {
		return fmt.Errorf("expected a path that begins and ends with / such as /socket.io/, found %q", text)
	}
	return nil
}

// sqliteFile refuses what SQLite would read as part of a URI, and databases in memory, which
// every connection would have for itself.
func sqliteFile(dsn string) error {
	if dsn == "" || strings.ContainsAny(dsn, "?#%") || strings.HasPrefix(dsn, ":") || strings.HasPrefix(dsn, "file:") || strings.Contains(dsn, "@tcp(") {
		return errors.New("expected the path of a file for database.driver sqlite, without ? # %")
	}
	return nil
}

func mysqlSource(dsn string) error {
	c, err := mysql.ParseDSN(dsn)
	if err != nil || c.DBName == "" || c.Net != "tcp" && c.Net != "unix" {
		return errors.New("expected user:pass@tcp(host:port)/name for database.driver mysql")
	}
	return nil
}

// CheckKeyName says what is wrong with a name for an API key, nil if nothing is. Names of keys and of the other actors of
// the notice log do not look alike.
func CheckKeyName(name string) error {
	switch {
	case name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > 64:
		return errors.New("expected a name of 1 to 64 characters")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(name) != name:
		return fmt.Errorf("expected a name of characters that can be seen, found %q", name)
	case name == "socket" || name == "system" || name == "anonymous":
		return fmt.Errorf("%q is what the log calls the service itself, expected another name", name)
	case strings.HasPrefix(name, "user ") || strings.HasPrefix(name, "user:"):
		return fmt.Errorf("%q is what the log may call a user, expected another name", name)
	}
	return nil
}

func sha256Hex(text string) error {
	if b, err := hex.DecodeString(text); err != nil || len(b) != 32 {
		return errors.New("expected the SHA-256 of the key, 64 hexadecimal digits")
	}
	return nil
}

// signingSecret wants the form that Standard Webhooks gives to secrets.
func signingSecret(text string) error {
	encoded, ok := strings.CutPrefix(text, "whsec_")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(b) == 0 {
		return errors.New("expected whsec_ followed by base64")
	}
	return nil
}
