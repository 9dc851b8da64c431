package main

import (
	"context"
	"fmt"
	"io"
	"time"

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
			if err := migrateUp(ctx, c, db); err != nil {
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

// migrationTimeout bounds one statement of a migration, and how long one process waits for another that migrates: an index on
// millions of rows takes minutes.
const migrationTimeout = time.Hour

// migrateUp brings the schema of db up to date. On MySQL it does so by connections of its own, as those of db end what takes
// longer than database.timeout.
func migrateUp(ctx context.Context, c config.Config, db *store.DB) error {
	if db.Dialect() == store.MySQL {
		c.Database.Timeout = migrationTimeout
		patient, err := openStore(ctx, c)
		if err != nil {
			return err
		}
		defer patient.Close()
		db = patient
	}
	return sql.Up(ctx, db.SQL(), db.Dialect())
}

func openStore(ctx context.Context, c config.Config) (*store.DB, error) {
	db, err := store.Open(ctx, store.Config{Driver: c.Database.Driver, DSN: c.Database.DSN.Reveal(), MaxOpenConns: c.Database.MaxOpenConns, Timeout: c.Database.Timeout})
	if err != nil {
		return nil, fmt.Errorf("open the database (database.driver %s): %w", c.Database.Driver, err)
	}
	return db, nil
}

// prepare brings the schema up to date, or sees that it is.
func prepare(ctx context.Context, c config.Config, db *store.DB) error {
	if c.Database.Migrate {
		return migrateUp(ctx, c, db)
	}
	return isUpToDate(ctx, db)
}

// isUpToDate reports how the schema differs from the one that this program needs.
func isUpToDate(ctx context.Context, db *store.DB) error {
	s, err := sql.Read(ctx, db.SQL(), db.Dialect())
	if err == nil && s.Current < s.Latest {
		err = fmt.Errorf("the schema is at version %d, this program needs %d: run \"server migrate up\", or set database.migrate", s.Current, s.Latest)
	}
	return err
}
