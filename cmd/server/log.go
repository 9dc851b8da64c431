package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"rollcall/internal/config"
	"rollcall/internal/rescue"
)

// newLogger writes to w in the form and from the level that the configuration names.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the configuration was checked
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(printable{w}, o))
	}
	return slog.New(slog.NewTextHandler(printable{w}, o))
}

// printable escapes in lines of a log what a terminal would obey or hide: control characters, marks that turn the
// direction of text, blanks of no width. Both of slog's handlers escape some of it, and JSON's not all. Outside of quotes
// they write ASCII only, so an escape is always inside of a text, where both forms read it as the character again.
type printable struct{ w io.Writer }

// Write implements io.Writer. slog calls it once for each line.
func (p printable) Write(line []byte) (int, error) {
	safe := line
	if bytes.IndexFunc(line, harmful) >= 0 {
		safe = escape(line)
	}
	if _, err := p.w.Write(safe); err != nil {
		return 0, err
	}
	return len(line), nil
}

// harmful is what strconv.Quote escapes, so that both forms of the log agree; but for the end of the line.
func harmful(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

func escape(line []byte) []byte {
	safe := make([]byte, 0, len(line)+64)
	for _, r := range string(line) {
		switch {
		case !harmful(r):
			safe = utf8.AppendRune(safe, r)
		case r > 0xffff: // JSON has no longer escape
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
	}
	return safe
}

// adopt has libraries that would print by themselves write to our log. They are few lines, about connections that broke.
func adopt(log *slog.Logger) {
	slog.SetDefault(log) // and with it the standard package log
	_ = mysql.SetLogger(stray{log, "mysql"})
	redis.SetLogger(stray{log, "redis"})
}

// stray takes lines of a library.
type stray struct {
	log     *slog.Logger
	library string
}

// Print implements the logger of the MySQL driver.
func (s stray) Print(v ...any) { s.say(fmt.Sprint(v...)) }

// Printf implements the logger of the Redis client.
func (s stray) Printf(_ context.Context, format string, v ...any) { s.say(fmt.Sprintf(format, v...)) }

func (s stray) say(text string) {
	s.log.Debug("said by a library", slog.String("library", s.library), slog.String("text", text))
}

// capture returns a file to put in the place of os.Stderr: what is written to it by whoever does not ask for a logger
// becomes lines of the log. What the runtime says when it crashes does not go by os.Stderr and stays as it is.
func capture(log *slog.Logger, net *rescue.Net) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("capture standard error: %w", err)
	}
	net.Go("captured lines", func() { // until w is closed, or the process ends
		lines := bufio.NewReader(r)
		for {
			line, _, err := lines.ReadLine() // of a very long line a part
			if err != nil {
				return
			}
			log.Warn("printed by a library", slog.String("text", string(line)))
		}
	})
	return w, nil
}
