package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/hall"
	"rollcall/internal/store"
)

const (
	readMost   = 100                    // letters that are read at once: some hold the names of thousands
	writeMost  = 500                    // letters of one statement
	retryAfter = 500 * time.Millisecond // when the mailbox could not be read
	keepFor    = 5 * time.Minute        // how long a letter stays: a node that could not read for as long was called dead, and has no sockets
	trimEvery  = 20 * time.Second
	trimMost   = 1000 // letters of one statement
)

// mailRow is a letter. created_at is the database's own.
type mailRow struct {
	ID       int64 `gorm:"primaryKey;autoIncrement"`
	FromNode string
	ToNode   string
	Kind     string
	Body     string
}

// TableName is for gorm.
func (mailRow) TableName() string { return "mailbox" }

// Forward writes letters in the transaction of ctx, or in one of its own, whether or not another node serves, and has them
// read at once when that is committed. Post is for those who do not know.
func (c *Cluster) Forward(ctx context.Context, letters []hall.Letter) error {
	rows := make([]mailRow, len(letters))
	for i, l := range letters {
		rows[i] = mailRow{FromNode: c.Node, ToNode: l.To, Kind: l.Kind, Body: string(l.Body)}
		if l.Mine {
			rows[i].FromNode = ""
		}
	}
	err := c.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		if err := tx.CreateInBatches(&rows, writeMost).Error; err != nil {
			return err
		}
		store.AfterCommit(ctx, func() { c.posted(letters) })
		return nil
	})
	if err != nil {
		return fmt.Errorf("post letters: %w", err)
	}
	return nil
}

func (c *Cluster) posted(letters []hall.Letter) {
	c.metrics.posted.Add(float64(len(letters)))
	for _, l := range letters {
		if l.Mine {
			nudge(c.mail)
		}
		c.news.mailFor(l.To)
	}
}

// reader knows which letters were read. It belongs to readMail.
type reader struct {
	next int64 // of this one and those above it nothing is known
	gaps gaps
}

// readMail delivers letters, those of this node as well that say so, until ctx ends.
func (c *Cluster) readMail(ctx context.Context) {
	begun := c.DB.Dialect() == store.SQLite
	if begun {
		close(c.ready)
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.mail:
		case <-wait.C:
		}
		err := c.Net.Try("read letters", func() error {
			if begun {
				return c.read(ctx)
			}
			return c.begin(ctx)
		})
		if err == nil && !begun {
			begun = true
			close(c.ready)
			nudge(c.mail)
		}
		if ctx.Err() == nil {
			c.note("read the mailbox, it is tried again", err)
		}
		if wait.Reset(c.PollInterval); err != nil {
			wait.Reset(retryAfter)
		}
	}
}

// begin starts behind the last letter. Those below it that are not there may still be in a transaction.
func (c *Cluster) begin(ctx context.Context) error {
	var ids []int64
	err := c.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Model(&mailRow{}).Order("id DESC").Limit(gapsMost).Pluck("id", &ids).Error
	})
	if err != nil {
		return fmt.Errorf("find the end of the mailbox: %w", err)
	}
	slices.Sort(ids)
	c.reader = reader{next: 1}
	if len(ids) > 0 {
		c.reader.next = max(1, ids[len(ids)-1]-gapsMost)
	}
	for _, id := range ids {
		c.reader.seen(id, time.Now())
	}
	return nil
}

// seen notes that a letter was read, and which of those before it were not there.
func (r *reader) seen(id int64, now time.Time) {
	if id < r.next {
		r.gaps.close(id)
		return
	}
	r.gaps.open(r.next, id, now)
	r.next = id + 1
}

// read delivers what is new.
func (c *Cluster) read(ctx context.Context) error {
	if c.DB.Dialect() == store.SQLite {
		return nil
	}
	for more := true; more; {
		rows, err := c.fetch(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		var letters []hall.Letter
		for _, row := range rows {
			c.reader.seen(row.ID, now)
			if row.FromNode == c.Node || row.ToNode != "" && row.ToNode != c.Node {
				continue
			}
			c.metrics.received.Inc()
			letters = append(letters, hall.Letter{Kind: row.Kind, Body: []byte(row.Body)})
		}
		c.hand(letters)
		more = len(rows) >= readMost
	}
	c.reader.gaps.forget(time.Now())
	return nil
}

// fetch reads new letters in the order of their ids: those that filled gaps first.
func (c *Cluster) fetch(ctx context.Context) (rows []mailRow, err error) {
	err = c.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		// Of letters that are not for this node only the number is of interest.
		q := tx.Select("id, from_node, to_node, kind, CASE WHEN from_node = ? OR to_node NOT IN ('', ?) THEN '' ELSE body END AS body", c.Node, c.Node).Order("id")
		if missing := c.reader.gaps.list(); len(missing) > 0 {
			q = q.Where("id >= ? OR id IN ?", c.reader.next, missing)
		} else {
			q = q.Where("id >= ?", c.reader.next)
		}
		return q.Limit(readMost).Find(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read letters: %w", err)
	}
	return rows, nil
}

// trim deletes old letters until ctx ends. The newest stays: MySQL 5.7 would begin to count anew after a restart.
func (c *Cluster) trim(ctx context.Context) {
	if c.DB.Dialect() == store.SQLite {
		return
	}
	t := time.NewTicker(trimEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			err := c.Net.Try("trim the mailbox", func() error { return c.trimOnce(ctx, keepFor) })
			if ctx.Err() == nil {
				c.note("trim the mailbox, it is tried again", err)
			}
		}
	}
}

// trimOnce deletes what is older than age, but for the newest letter.
func (c *Cluster) trimOnce(ctx context.Context, age time.Duration) error {
	var last int64
	err := c.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error {
		return tx.Raw("SELECT COALESCE(MAX(id), 0) FROM mailbox WHERE created_at < NOW(3) - INTERVAL ? SECOND AND id < (SELECT MAX(id) FROM mailbox)", int(age.Seconds())).Scan(&last).Error
	})
	if err != nil {
		return fmt.Errorf("find old letters: %w", err)
	}
	for deleted := int64(trimMost); deleted == trimMost && last > 0; {
		err := c.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			done := tx.Exec("DELETE FROM mailbox WHERE id <= ? ORDER BY id LIMIT ?", last, trimMost)
			deleted = done.RowsAffected
			return done.Error
		})
		if err != nil {
			return fmt.Errorf("delete old letters: %w", err)
		}
	}
	return nil
}
