package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/glebarez/sqlite"
	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// lockWait is how long, in seconds, a statement waits for a row lock. The default of MySQL, 50, would hold
// up everybody behind one stuck transaction.
const lockWait = "2"

// sqliteReaders is the number of connections that read beside the one that writes.
const sqliteReaders = 4

// Open connects to the database and sees that it answers. It does not migrate.
func Open(ctx context.Context, c Config) (*DB, error) {
	var (
		db  *DB
		err error
	)
	switch c.Driver {
	case MySQL:
		db, err = openMySQL(ctx, c)
	case SQLite:
		if c.ReadOnly {
			db, err = lookAtSQLite(c)
			break
		}
		db, err = openSQLite(c)
	default:
		return nil, fmt.Errorf("unknown database driver %q", c.Driver)
	}
	if err != nil {
		return nil, err
	}
	db.dialect, db.timeout = c.Driver, c.Timeout
	if err := db.Ping(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// quiet returns a new configuration each time, because gorm keeps the state of the handle in it.
func quiet() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction: true, // Write and Read make their own
		DisableAutomaticPing:   true, // Open does it, within its context
		TranslateError:         true,
		Logger:                 logger.Discard, // errors are returned and logged once, by whoever handles them
		NowFunc:                func() time.Time { return time.Now().UTC() },
	}
}

func openMySQL(ctx context.Context, c Config) (*DB, error) {
	dsn, err := driver.ParseDSN(c.DSN)
	if err != nil {
		return nil, fmt.Errorf("read database.dsn: %w", err)
	}
	dsn.ClientFoundRows = true // a conditional UPDATE tells whether its condition held, not whether bytes changed
	dsn.InterpolateParams = true
	dsn.RejectReadOnly = true // behind a name that leads to another server by now, only a new connection finds it
	dsn.Timeout, dsn.ReadTimeout, dsn.WriteTimeout = c.Timeout, c.Timeout, c.Timeout
	dsn.Collation = "utf8mb4_bin"
	dsn.Loc = time.UTC
	if dsn.Params == nil {
		dsn.Params = map[string]string{}
	}
	dsn.Params["time_zone"] = "'+00:00'"
	dsn.Params["innodb_lock_wait_timeout"] = lockWait
	dsn.Params["sql_mode"] = "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
	// A process that is stopped, or cut off, in the middle of a transaction holds its locks until the server ends the
	// connection, for which its own default is eight hours.
	idle := max(c.Timeout, minIdle)
	dsn.Params["wait_timeout"] = strconv.Itoa(int(2 * idle / time.Second))
	dsn.Logger = &driver.NopLogger{} // as in quiet
	if err := limitStatements(ctx, dsn, c.Timeout); err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("read database.dsn: %w", err)
	}
	pool := sql.OpenDB(entry{connector})
	g, err := gorm.Open(mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true}), quiet())
	if err != nil {
		return nil, fmt.Errorf("open MySQL: %w", err)
	}
	db := &DB{write: g, read: g, release: func() {}}
	pool.SetMaxOpenConns(c.MaxOpenConns)
	pool.SetMaxIdleConns(c.MaxOpenConns)
	pool.SetConnMaxIdleTime(idle)             // before the server ends it
	pool.SetConnMaxLifetime(10 * time.Minute) // so that a server that has come back gets its share
	return db, nil
}

// minIdle is the least time for which a connection without work is kept.
const minIdle = 5 * time.Second

// limitStatements has the server itself end what takes longer than anybody waits for: it does not see that a client has given
// up. MariaDB and MySQL have different names for that; MySQL ends SELECTs only, and 5.7.8 is the first that does.
func limitStatements(ctx context.Context, dsn *driver.Config, timeout time.Duration) error {
	connector, err := driver.NewConnector(dsn)
	if err != nil {
		return fmt.Errorf("read database.dsn: %w", err)
	}
	pool := sql.OpenDB(entry{connector})
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var version string
	if err := pool.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return translate(fmt.Errorf("ask for the version of the database: %w", err))
	}
	if strings.Contains(version, "MariaDB") {
		dsn.Params["max_statement_time"] = strconv.FormatFloat(timeout.Seconds(), 'f', 3, 64)
	} else {
		dsn.Params["max_execution_time"] = strconv.FormatInt(timeout.Milliseconds(), 10)
	}
	return nil
}

func openSQLite(c Config) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(c.DSN), 0o750); err != nil {
		return nil, fmt.Errorf("make folder of the database: %w", err)
	}
	release, err := own(c.DSN)
	if err != nil {
		return nil, err
	}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "busy_timeout(5000)", "synchronous(FULL)"}}
	writer := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas["_pragma"]}
	reader := url.Values{"_txlock": {"deferred"}, "_pragma": append([]string{"query_only(1)"}, pragmas["_pragma"]...)}
	file := fileURI(c.DSN)
	db := &DB{release: release}
	if db.write, err = gorm.Open(sqlite.Open(file+"?"+writer.Encode()), quiet()); err != nil {
		release()
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	db.SQL().SetMaxOpenConns(1)
	if db.read, err = gorm.Open(sqlite.Open(file+"?"+reader.Encode()), quiet()); err != nil {
		release()
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	if pool, err := db.read.DB(); err == nil {
		pool.SetMaxOpenConns(sqliteReaders)
	}
	return db, nil
}

// lookAtSQLite opens a file for reading, and leaves its lock to whoever has it.
func lookAtSQLite(c Config) (*DB, error) {
	if _, err := os.Stat(c.DSN); err != nil { // SQLite's own words for it are "out of memory"
		return nil, fmt.Errorf("look at the database: %w", err)
	}
	options := url.Values{"mode": {"ro"}, "_txlock": {"deferred"}, "_pragma": {"query_only(1)", "busy_timeout(5000)"}}
	g, err := gorm.Open(sqlite.Open(fileURI(c.DSN)+"?"+options.Encode()), quiet())
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	db := &DB{write: g, read: g, release: func() {}}
	db.SQL().SetMaxOpenConns(sqliteReaders)
	return db, nil
}

// fileURI names a file as SQLite wants it: a folder may be called "a#b" or "50%".
func fileURI(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// own takes the SQLite file for this process alone: two processes would each call the other's users gone.
func own(path string) (release func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another rollcall uses %s: stop it, or set database.dsn to another file (several nodes need MySQL): %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing gives the lock back
}
