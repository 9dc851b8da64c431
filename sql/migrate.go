// Package sql holds the schema: numbered migrations, one folder per dialect, and what applies them.
package sql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed mysql/*.sql sqlite/*.sql
var files embed.FS

// ErrNewer is returned when the database was migrated by a later version of rollcall than this one.
var ErrNewer = errors.New("the database schema is newer than this program: start the newer program, or restore a backup")

// Status is where a database stands among the known migrations.
type Status struct {
	Current int64 // version of the database; 0 when it is empty
	Latest  int64 // version this program needs
}

// Up applies what is missing to db, in order, one transaction each. dialect is "mysql" or "sqlite". Several
// processes may call it at once on MySQL: a named lock lets one of them work while the others wait. It returns
// ErrNewer, and changes nothing, when the database is ahead of this program.
func Up(ctx context.Context, db *sql.DB, dialect string) error {
	unlock, err := lock(ctx, db, dialect)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := Read(ctx, db, dialect); err != nil {
		return err
	}
	p, err := provider(db, dialect)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("apply migrations: %w", err)
	}
	return nil
}

// Read returns where db stands, or ErrNewer when it is ahead of this program. It changes nothing.
func Read(ctx context.Context, db *sql.DB, dialect string) (Status, error) {
	p, err := provider(db, dialect)
	if err != nil {
		return Status{}, err
	}
	current, latest, err := p.GetVersions(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("read schema version: %w", err)
	}
	if current > latest {
		return Status{current, latest}, fmt.Errorf("%w (database %d, program %d)", ErrNewer, current, latest)
	}
	return Status{current, latest}, nil
}

func provider(db *sql.DB, dialect string) (*goose.Provider, error) {
	d, ok := map[string]goose.Dialect{"mysql": goose.DialectMySQL, "sqlite": goose.DialectSQLite3}[dialect]
	if !ok {
		return nil, fmt.Errorf("unknown dialect %q", dialect)
	}
	sub, err := fs.Sub(files, dialect)
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	p, err := goose.NewProvider(d, db, sub, goose.WithTableName("schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// lock keeps two processes from migrating one MySQL database at once. It waits up to a minute, in steps: the
// connection would take one long wait for a server that is gone.
func lock(ctx context.Context, db *sql.DB, dialect string) (unlock func(), err error) {
	if dialect != "mysql" {
		return func() {}, nil // an SQLite database has one process, see store.Open
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect for migration lock: %w", err)
	}
	const name = "CONCAT('rollcall.migrate.', MD5(DATABASE()))" // names of locks end at 64 characters
	for range 60 {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", 1)").Scan(&got); err != nil {
			return nil, errors.Join(fmt.Errorf("take migration lock: %w", err), conn.Close())
		}
		if got.Int64 == 1 {
			return func() {
				_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT RELEASE_LOCK("+name+")") // or the connection is gone, and the lock with it
				_ = conn.Close()
			}, nil
		}
	}
	return nil, errors.Join(errors.New("another process has been migrating this database for a minute"), conn.Close())
}
