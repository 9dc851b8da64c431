package notice

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// sums is what the deliveries of a notice come to.
type sums struct {
	NoticeID          string
	Sent, Acked, Seen int
	State             string // of the notice
}

// recount makes the log say of notices, which the caller has locked, what their deliveries say. One that has a socket
// was sent, whatever became of it later. Of a notice to all only marks are there, so what it was said to be sent to
// stands until they are more. What waited and has reached somebody was sent.
func recount(tx *gorm.DB, notices []noticeRow) error {
	heads := make(map[string]noticeRow, len(notices))
	ids := make([]string, len(notices))
	for i, r := range notices {
		heads[r.ID], ids[i] = r, r.ID
	}
	return inParts(ids, func(part []string) error {
		var counted []sums
		err := tx.Raw("SELECT notice_id, SUM(CASE WHEN state IN (?, ?, ?) OR session_id <> '' THEN 1 ELSE 0 END) AS sent, COUNT(acked_at) AS acked, COUNT(read_at) AS seen"+
			" FROM notice_deliveries WHERE notice_id IN ? GROUP BY notice_id", Sent, Acked, Read, part).Scan(&counted).Error
		if err != nil {
			return fmt.Errorf("sum deliveries: %w", err)
		}
		var news []sums
		for _, s := range counted {
			head := heads[s.NoticeID]
			if head.ToAll {
				s.Sent = max(s.Sent, head.Sent)
			}
			if s.State = head.State; s.State == Queued && head.SentAt != 0 && s.Sent > 0 {
				s.State = Sent
			}
			if s != (sums{head.ID, head.Sent, head.Acked, head.ReadCount, head.State}) {
				news = append(news, s)
			}
		}
		return saveSums(tx, news)
	})
}

// saveSums writes all in one statement.
func saveSums(tx *gorm.DB, news []sums) error {
	if len(news) == 0 {
		return nil
	}
	ids := make([]string, len(news))
	var columns []string
	var args []any
	for _, c := range []struct {
		name string
		of   func(sums) any
	}{
		{"sent", func(s sums) any { return s.Sent }},
		{"acked", func(s sums) any { return s.Acked }},
		{"read_count", func(s sums) any { return s.Seen }},
		{"state", func(s sums) any { return s.State }},
	} {
		for i, s := range news {
			ids[i] = s.NoticeID
			args = append(args, s.NoticeID, c.of(s))
		}
		columns = append(columns, fmt.Sprintf("%[1]s = CASE id%[2]s ELSE %[1]s END", c.name, strings.Repeat(" WHEN ? THEN ?", len(news))))
	}
	if err := tx.Exec("UPDATE notices SET "+strings.Join(columns, ", ")+" WHERE id IN ?", append(args, ids)...).Error; err != nil {
		return fmt.Errorf("write sums: %w", err)
	}
	return nil
}
