// Package db opens the store, SQLite or PostgreSQL, and runs transactions on it.
//
// Owns: [DB] (connections, transactions carried by the context, after-commit hooks), [Migrate], and list queries
// ([ListQuery]). Does not own: any table.
//
// Start reading at [DB.Tx].
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is the store. It is safe for concurrent use.
type DB struct {
	// write runs transactions that write; on SQLite it has one connection, so writers queue here and not in the file.
	write *bun.DB
	read  *bun.DB
	pg    bool
}

// Open opens the store that dsn names: "sqlite:PATH" (made if missing, mode 0600) or "postgres://…".
func Open(ctx context.Context, dsn string) (*DB, error) {
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		pool, err := sql.Open("pgx", dsn)
		if err != nil {
			return nil, errors.New("the PostgreSQL address is not valid: expected postgres://user@host:port/name")
		}
		pool.SetMaxOpenConns(16)
		pool.SetMaxIdleConns(8)
		d := bun.NewDB(pool, pgdialect.New())
		if err := pool.PingContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("PostgreSQL does not answer: %w", err), pool.Close())
		}
		return &DB{write: d, read: d, pg: true}, nil
	}
	path, ok := strings.CutPrefix(dsn, "sqlite:")
	if !ok || path == "" {
		return nil, errors.New("the database must be sqlite:PATH or postgres://…")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// synchronous(full): what was acknowledged survives a power cut.
	pragmas := "_pragma=busy_timeout(3000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)"
	file := (&url.URL{Scheme: "file", Opaque: path}).String()
	w, err := sql.Open("sqlite", file+"?_txlock=immediate&"+pragmas)
	if err != nil {
		return nil, err
	}
	w.SetMaxOpenConns(1)
	if err := w.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), w.Close())
	}
	r, err := sql.Open("sqlite", file+"?_pragma=query_only(1)&"+pragmas)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	r.SetMaxOpenConns(8)
	r.SetMaxIdleConns(4)
	return &DB{write: bun.NewDB(w, sqlitedialect.New()), read: bun.NewDB(r, sqlitedialect.New())}, nil
}

// Close closes all connections.
func (d *DB) Close() error {
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// Postgres reports whether the store is PostgreSQL.
func (d *DB) Postgres() bool { return d.pg }

type txKey struct{}

type tx struct {
	bun.Tx
	writes bool
	after  []func()
}

func current(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{}).(*tx)
	return t
}

// Conn returns the transaction in ctx, or else the pool for reading.
func (d *DB) Conn(ctx context.Context) bun.IDB {
	if t := current(ctx); t != nil {
		return t.Tx
	}
	return d.read
}

// InTx reports whether ctx carries a transaction that may write.
func InTx(ctx context.Context) bool {
	t := current(ctx)
	return t != nil && t.writes
}

// AfterCommit runs fn once the transaction in ctx has been committed, and never if it is rolled back.
func AfterCommit(ctx context.Context, fn func()) {
	if t := current(ctx); t != nil {
		t.after = append(t.after, fn)
		return
	}
	fn()
}

const attempts = 5

// Tx runs fn in a transaction that writes; fn finds it with [DB.Conn]. Inside another Tx it joins that one. It is tried
// again when PostgreSQL reports a serialization conflict, so fn must have no other side effects
// ([AfterCommit] is for those).
func (d *DB) Tx(ctx context.Context, fn func(ctx context.Context) error) error {
	if t := current(ctx); t != nil {
		if !t.writes {
			return errors.New("db: a read transaction cannot write")
		}
		return fn(ctx)
	}
	var err error
	for i := range attempts {
		if err = d.run(ctx, d.write, &sql.TxOptions{}, true, fn); err == nil || !transient(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(10<<i) * time.Millisecond):
		}
	}
	return err
}

// Read runs fn in a read transaction that sees one state of the store. Inside another transaction it joins that one.
func (d *DB) Read(ctx context.Context, fn func(ctx context.Context) error) error {
	if current(ctx) != nil {
		return fn(ctx)
	}
	opts := &sql.TxOptions{ReadOnly: true}
	if d.pg {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return d.run(ctx, d.read, opts, false, fn)
}

func (d *DB) run(ctx context.Context, conn *bun.DB, opts *sql.TxOptions, writes bool, fn func(ctx context.Context) error) error {
	raw, err := conn.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	t := &tx{Tx: raw, writes: writes}
	defer func() { _ = raw.Rollback() }() // after a commit this does nothing
	if err := fn(context.WithValue(ctx, txKey{}, t)); err != nil {
		return err
	}
	if err := raw.Commit(); err != nil {
		return err
	}
	for _, f := range t.after {
		f()
	}
	return nil
}

func transient(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "40001" || pg.Code == "40P01"
	}
	return false // SQLite has waited already, by busy_timeout
}

// IsUnique reports whether err says that a row with the same unique key is there already.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) &&
		(lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// IsUnavailable reports whether err says that the store cannot be written now: busy, full, or read-only.
func IsUnavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57") || strings.HasPrefix(pg.Code, "08")
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
			return true
		}
	}
	return false
}
