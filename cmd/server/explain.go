package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/internal/config"
	"rollcall/internal/explain"
	"rollcall/internal/id"
	"rollcall/internal/notice"
	"rollcall/internal/presence"
	"rollcall/internal/store"
)

// moment is a time given to a command: milliseconds since 1970, or RFC 3339. 0 is not given.
type moment int64

// String implements flag.Value.
func (m *moment) String() string { return strconv.FormatInt(int64(*m), 10) }

// Set implements flag.Value.
func (m *moment) Set(text string) error {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 {
		*m = moment(ms)
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.UnixMilli() < 0 {
		return fmt.Errorf("expected milliseconds since 1970, or a time such as 2026-01-31T14:00:00Z")
	}
	*m = moment(t.UnixMilli())
	return nil
}

// explainUser runs "explain": it prints what happened to a user. It only reads, so it works beside a running server.
func explainUser(ctx context.Context, args, environ []string, stdout io.Writer) error {
	var user, conference string
	var from, to moment
	flags := func(f *flag.FlagSet) {
		f.StringVar(&user, "user", "", "id of the user")
		f.StringVar(&conference, "conference", "", "id of the conference; all of them if left out")
		f.Var(&from, "from", "beginning; 24 h before the end if left out")
		f.Var(&to, "to", "end; now if left out")
	}
	return configured(args, environ, stdout, func(c config.Config) error {
		q := explain.Query{UserID: user, ConferenceID: conference, From: int64(from), To: int64(to)}
		if err := checkExplain(&q); err != nil {
			return err
		}
		return explainFrom(ctx, c, q, stdout)
	}, flags)
}

func checkExplain(q *explain.Query) error {
	if id.Nobody(q.UserID) {
		return fmt.Errorf("%w: explain needs -user ID", errUsage)
	}
	if err := id.Check(q.UserID); err != nil {
		return fmt.Errorf("%w: -user: an id %v", errUsage, err)
	}
	if id.NoConference(q.ConferenceID) {
		q.ConferenceID = ""
	} else if err := id.Check(q.ConferenceID); err != nil {
		return fmt.Errorf("%w: -conference: an id %v", errUsage, err)
	}
	if q.To != 0 && q.From > q.To {
		return fmt.Errorf("%w: -from lies behind -to", errUsage)
	}
	return nil
}

func explainFrom(ctx context.Context, c config.Config, q explain.Query, stdout io.Writer) error {
	db, err := store.Open(ctx, store.Config{Driver: c.Database.Driver, DSN: c.Database.DSN.Reveal(), MaxOpenConns: c.Database.MaxOpenConns, Timeout: c.Database.Timeout, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("open the database (database.driver %s): %w", c.Database.Driver, err)
	}
	defer db.Close()
	if err := isUpToDate(ctx, db); err != nil {
		return err
	}
	unseen := prometheus.NewRegistry()
	p := presence.New(presence.Config{DB: db, Grace: c.Presence.Grace, Metrics: unseen})
	n := notice.New(notice.Config{DB: db, Window: c.Presence.Debounce, DetailMax: c.Presence.DetailMax, Log: newLogger(c.Log, io.Discard), Metrics: unseen})
	line, err := explain.New(p, n, c.Presence.Grace).Line(ctx, q)
	if err != nil {
		return err
	}
	if len(line) == 0 {
		return say(stdout, "Nothing is known of this user in this time.")
	}
	w := bufio.NewWriter(stdout)
	for _, m := range line {
		fmt.Fprintf(w, "%s  %-18s  %s\n", time.UnixMilli(m.At).UTC().Format("2006-01-02T15:04:05.000Z"), m.Kind, m.Text)
	}
	return w.Flush()
}
