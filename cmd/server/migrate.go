package main

import (
	"context"
	"fmt"
	"io"

	"rollcall/internal/config"
	"rollcall/internal/store"
	"rollcall/sql"
)

// migrate runs "migrate up" or "migrate status".
func migrate(ctx context.Context, args, environ []string, stdout io.Writer) error {
	action := "up"
	if len(args) > 0 && args[0][0] != '-' {
		action, args = args[0], args[1:]
	}
	if action != "up" && action != "status" {
		return fmt.Errorf("%w: migrate %q", errUsage, action)
	}
	return configured(args, environ, stdout, func(c config.Config) error {
		db, err := openStore(ctx, c)
		if err != nil {
			return err
		}
		defer db.Close()
		if action == "up" {
			if err := sql.Up(ctx, db.SQL(), db.Dialect()); err != nil {
				return err
			}
		}
		s, err := sql.Read(ctx, db.SQL(), db.Dialect())
		if err != nil {
			return err
		}
		return say(stdout, fmt.Sprintf("the schema is at version %d of %d", s.Current, s.Latest))
	})
}

func openStore(ctx context.Context, c config.Config) (*store.DB, error) {
	db, err := store.Open(ctx, store.Config{Driver: c.Database.Driver, DSN: c.Database.DSN.Reveal(), MaxOpenConns: c.Database.MaxOpenConns, Timeout: c.Database.Timeout})
	if err != nil {
		return nil, fmt.Errorf("open the database (database.driver %s): %w", c.Database.Driver, err)
	}
	return db, nil
}

// prepare brings the schema up to date, or sees that it is.
func prepare(ctx context.Context, db *store.DB, allowed bool) error {
	if allowed {
		return sql.Up(ctx, db.SQL(), db.Dialect())
	}
	s, err := sql.Read(ctx, db.SQL(), db.Dialect())
	if err == nil && s.Current < s.Latest {
		err = fmt.Errorf("the schema is at version %d, this program needs %d: run \"server migrate up\", or set database.migrate", s.Current, s.Latest)
	}
	return err
}
