// Package store opens the database and carries a transaction in a context, so that facts of several
// packages commit together.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
)

// MySQL and SQLite are the dialects, named as in the configuration.
const (
	MySQL  = "mysql"
	SQLite = "sqlite"
)

// Config says which database to open.
type Config struct {
	Driver       string        // MySQL or SQLite
	DSN          string        // user:pass@tcp(host:port)/name, or the path of the SQLite file
	MaxOpenConns int           // MySQL only; SQLite has one writer and a few readers
	Timeout      time.Duration // bound of every transaction and of every single query
	ReadOnly     bool          // SQLite only: look at a file that exists, beside the process that owns it; every write fails
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect string
	timeout time.Duration
	write   *gorm.DB
	read    *gorm.DB // the same as write on MySQL
	release func()   // gives back the lock on the SQLite file

	transactions atomic.Int64
}

// Dialect returns MySQL or SQLite.
func (d *DB) Dialect() string { return d.dialect }

// SQL returns the pool that writes, for migrations.
func (d *DB) SQL() *sql.DB {
	pool, _ := d.write.DB() // cannot fail: the pool is a *sql.DB, Open made it
	return pool
}

// Transactions returns how many write transactions were committed since Open.
func (d *DB) Transactions() int64 { return d.transactions.Load() }

// Ping asks the database for a sign of life, within the configured timeout.
func (d *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	if err := d.SQL().PingContext(ctx); err != nil {
		return translate(fmt.Errorf("ping database: %w", err))
	}
	return nil
}

// Now returns the database's clock, which is the same for all nodes, in milliseconds since 1970.
func (d *DB) Now(ctx context.Context) (int64, error) {
	q := "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
	if d.dialect == SQLite {
		q = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
	}
	var ms int64
	err := d.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error { return tx.Raw(q).Scan(&ms).Error })
	return ms, err
}

// Close closes all connections and gives the SQLite file back.
func (d *DB) Close() error {
	err := d.SQL().Close()
	if pool, e := d.read.DB(); e == nil && d.read != d.write {
		if e := pool.Close(); err == nil {
			err = e
		}
	}
	d.release()
	return err
}
