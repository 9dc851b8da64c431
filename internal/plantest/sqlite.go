package plantest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gorm.io/gorm"

	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// tongue is what the service says in other words to SQLite. Arguments are question marks already.
var tongue = strings.NewReplacer(
	"CAST(UNIX_TIMESTAMP(NOW(?)) * ? AS SIGNED)", "CAST((julianday(?) - ?) * ? AS INTEGER)", " FOR UPDATE", "", " LOCK IN SHARE MODE", "", "STRAIGHT_JOIN", "CROSS JOIN", "AS CHAR)", "AS TEXT)",
)

var forced = regexp.MustCompile(`FORCE INDEX \((\w+)\)`)

// inMemory are the steps of a plan that read what the statement itself has made, and not a table.
var inMemory = regexp.MustCompile(`^SCAN (CONSTANT ROW|\(subquery|w$|asked$)`)

// JudgeSQLite asks SQLite how it would find the rows of statements of these shapes, and returns what is wrong, a line each. It
// decides without looking at how many rows there are, so the tables are empty.
func JudgeSQLite(t testing.TB, shapes []string, fine []Fine) (wrong []string) {
	t.Helper()
	db := storetest.Open(t, store.SQLite)
	for _, shape := range shapes {
		text := forced.ReplaceAllString(tongue.Replace(shape), "INDEXED BY ${1}_idx")
		args := make([]any, strings.Count(text, "?"))
		var plan []struct{ Detail string }
		err := db.Write(t.Context(), func(_ context.Context, tx *gorm.DB) error {
			return tx.Raw("EXPLAIN QUERY PLAN "+text, args...).Scan(&plan).Error
		})
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%v: %.2000s", err, text))
		}
		for _, step := range plan {
			if strings.HasPrefix(step.Detail, "SCAN") && !inMemory.MatchString(step.Detail) && !excuse(fine, shape).Scan {
				wrong = append(wrong, fmt.Sprintf("%s: %.2000s", step.Detail, shape))
			}
		}
	}
	return wrong
}
