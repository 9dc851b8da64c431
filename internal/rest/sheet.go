package rest

import (
	"bufio"
	"io"
	"strings"
)

// sheet writes rows of a file for spreadsheets, as RFC 4180 has it. encoding/csv does not do: when its lines end in CR LF it
// changes every line break within cells too, and drops each CR that stands alone.
type sheet struct{ w *bufio.Writer }

func newSheet(w io.Writer) *sheet { return &sheet{bufio.NewWriter(w)} }

// Write adds a row. An error stays until Flush returns it as well.
func (s *sheet) Write(cells []string) error {
	for i, cell := range cells {
		if i > 0 {
			_ = s.w.WriteByte(',')
		}
		if strings.ContainsAny(cell, "\",\r\n") || strings.HasPrefix(cell, " ") || strings.HasPrefix(cell, "\t") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		_, _ = s.w.WriteString(cell)
	}
	_, err := s.w.WriteString("\r\n")
	return err
}

// Flush writes what is still held back, and returns the first error of all.
func (s *sheet) Flush() error { return s.w.Flush() }
