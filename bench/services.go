package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// services are the MariaDB and the Redis that rollcall works with.
type services struct {
	dsn, redis   string // how to open them
	db           *sql.DB
	dbPID        int
	redisPID     int
	dbVersion    string
	redisVersion string
	databases    int // made so far
}

// openServices finds the servers that scripts/services has started.
func openServices(ctx context.Context) (*services, error) {
	s := &services{dsn: os.Getenv("ROLLCALL_TEST_MYSQL"), redis: os.Getenv("ROLLCALL_TEST_REDIS")}
	if s.dsn == "" || s.redis == "" {
		return nil, errors.New("there is no MariaDB or no Redis: run it by scripts/bench, which starts both")
	}
	var err error
	if s.db, err = sql.Open("mysql", s.dsn); err != nil {
		return nil, err
	}
	var file string
	if err := s.db.QueryRowContext(ctx, "SELECT @@pid_file, VERSION()").Scan(&file, &s.dbVersion); err != nil {
		return nil, fmt.Errorf("ask MariaDB who it is: %w", err)
	}
	s.dbVersion, _, _ = strings.Cut(s.dbVersion, "-")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the process id of MariaDB: %w", err)
	}
	if s.dbPID, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return nil, err
	}
	return s, s.askRedis()
}

// askRedis reads process id and version from INFO.
func (s *services) askRedis() error {
	c, err := net.DialTimeout("tcp", s.redis, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("INFO server\r\nQUIT\r\n")); err != nil {
		return err
	}
	for lines := bufio.NewScanner(c); lines.Scan(); {
		switch name, value, _ := strings.Cut(lines.Text(), ":"); name {
		case "redis_version":
			s.redisVersion = value
		case "process_id":
			s.redisPID, err = strconv.Atoi(value)
		}
	}
	if s.redisPID == 0 {
		return errors.Join(errors.New("the process id of Redis is not in its INFO"), err)
	}
	return nil
}

// database makes an empty database and returns its name and how to open it.
func (s *services) database(ctx context.Context) (name, dsn string, err error) {
	s.databases++
	name = fmt.Sprintf("rollcall_bench_%d", s.databases)
	if _, err := s.db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", "", err
	}
	c, err := mysql.ParseDSN(s.dsn)
	if err != nil {
		return "", "", err
	}
	c.DBName = name
	return name, c.FormatDSN(), nil
}
