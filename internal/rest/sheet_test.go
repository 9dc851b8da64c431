package rest

import (
	"encoding/csv"
	"errors"
	"strings"
	"testing"
)

// A CR that stood alone in a label was missing in the file: encoding/csv drops it where lines end in CR LF.
func TestSheetKeepsLineBreaks(t *testing.T) {
	rows := [][]string{{"a\rb", "c\nd", "e\r\nf", `g"h`, "i,j", " k", "\tl", "", `\.`, "中"}, {"=1", "'", "\r", "\n", `"`, ",", ";", "|", "x", "y"}}
	var out strings.Builder
	s := newSheet(&out)
	for _, row := range rows {
		if err := s.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "\"a\rb\",\"c\nd\",\"e\r\nf\",\"g\"\"h\",\"i,j\",\" k\",\"\tl\",,\\.,中\r\n=1,',\"\r\",\"\n\",\"\"\"\",\",\",;,|,x,y\r\n"
	if out.String() != want {
		t.Errorf("wrote %q, want %q", out.String(), want)
	}
	back, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(back) != 2 || back[0][0] != "a\rb" || back[1][4] != `"` {
		t.Errorf("read back %q %v", back, err)
	}
}

// An error of whoever takes the file is not lost in the rows behind it.
func TestSheetErrorStays(t *testing.T) {
	s := newSheet(broken{})
	for range 1000 {
		_ = s.Write([]string{strings.Repeat("x", 100)})
	}
	if s.Write([]string{"x"}) == nil || s.Flush() == nil {
		t.Error("the error is lost")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken") }
