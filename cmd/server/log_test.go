package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"

	"rollcall/internal/config"
	"rollcall/internal/rescue"
	"rollcall/internal/storetest"
)

// payloads are texts that a terminal, a reader of lines or an eye takes for something else.
var payloads = []string{
	"\x1b[2J\x1b]0;owned\x07", "\u009b31mred\u009d0;owned\u009c", "del\x7fete", "a\r\nlevel=INFO msg=\"not ours\"", "a\nb\x00c\tb\vb\f", "\u2028line\u2029end",
	"\u202etxt.exe\u202c \u2066left\u2069 \u061c\u200f", "zero\u200bwidth\u2060\ufeff", "tag\U000e0041\U000e007f", "\u0085next", "back\\slash \\u009b \"quote\"", "\ue000 private", "café 会议 🎉",
}

// valuer gives the log one thing for another.
type valuer struct{ text string }

// LogValue implements slog.LogValuer.
func (v valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("inner", v.text), slog.Any("deep", struct{ Text string }{v.text}))
}

// Whatever a user sends, a line of the log is one line of what can be seen, and in JSON it says what he sent.
func TestLogIsPrintable(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, text := range payloads {
			var out bytes.Buffer
			log := newLogger(config.Log{Level: "debug", Format: format}, &out)
			log.With(slog.String("with", text)).WithGroup("group").Info(text, slog.String("value", text), slog.Any("error", errors.New(text)), slog.Any("valuer", valuer{text}),
				slog.Any("list", []string{text}), slog.Any("bytes", []byte(text)), slog.String(text, "key"), slog.Group("g "+text, slog.String("x", text)), slog.Duration("took", time.Second))
			line, end := strings.CutSuffix(out.String(), "\n")
			if bad := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); bad >= 0 || !end {
				t.Errorf("%s, %q: a bare %q in %q", format, text, line[bad], line)
			}
			if format == "text" {
				continue
			}
			var got struct {
				Msg, With string
				Group     map[string]any
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%q: %v in %s", text, err, line)
			}
			valuer, _ := got.Group["valuer"].(map[string]any)
			for _, s := range []any{got.Msg, got.With, got.Group["value"], got.Group["error"], valuer["inner"], valuer["deep"].(map[string]any)["Text"], got.Group["list"].([]any)[0]} {
				if s != text {
					t.Errorf("%q became %q", text, s)
				}
			}
			if got.Group[text] != "key" {
				t.Errorf("%q is no key in %s", text, line)
			}
		}
	}
}

// A line that cannot be written is an error to slog, and one that was changed counts as written.
func TestPrintableCounts(t *testing.T) {
	var out bytes.Buffer
	if n, err := (printable{&out}).Write([]byte("a\u009bb\n")); n != 5 || err != nil || out.String() != "a\\u009bb\n" {
		t.Errorf("%d %v %q", n, err, out.String())
	}
	r, w := io.Pipe()
	_ = r.Close()
	if n, err := (printable{w}).Write([]byte("a\n")); n != 0 || err == nil {
		t.Errorf("%d %v", n, err)
	}
}

// What libraries print by themselves becomes lines of our log, by whichever way it comes.
func TestLibrariesUseOurLog(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out lines
	log := newLogger(config.Log{Level: "debug", Format: "json"}, &out)
	adopt(log)
	stdlog.Print("by log")
	slog.Warn("by slog")
	quiet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // is no MySQL
		for c, err := quiet.Accept(); err == nil; c, err = quiet.Accept() {
			_ = c.Close()
		}
	}()
	db, err := sql.Open("mysql", "u@tcp("+quiet.Addr().String()+")/d")
	if err != nil {
		t.Fatal(err)
	}
	_ = db.PingContext(t.Context())
	_ = errors.Join(db.Close(), quiet.Close())
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	_ = c.Ping(t.Context()).Err()
	_ = c.Close()
	stderr, err := capture(log, rescue.New(log, nil))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(stderr, "by stderr: %s\nand %s", "\x1b[31m", strings.Repeat("x", 10_000))
	if err := stderr.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, func() bool { return strings.Count(out.String(), "xxx\"}") >= 1 }, "what was printed last is not in the log")
	for _, want := range []string{"by log", "by slog", `"library":"mysql"`, `"library":"redis"`, "by stderr", "and xxx"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
	for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %q", l)
		}
	}
}
