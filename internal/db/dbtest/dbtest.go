// Package dbtest runs a store's suite on both engines: SQLite in a file, and a real PostgreSQL in a private directory.
//
// Owns: [Each]. Start reading there.
package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
)

// Each runs fn as a subtest on SQLite and on PostgreSQL, each with an empty, migrated store.
func Each(t *testing.T, migrations []db.Migrations, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t, migrations...)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t, migrations...)) })
}

// SQLite returns an empty, migrated store in a file of its own.
func SQLite(t testing.TB, migrations ...db.Migrations) *db.DB {
	t.Helper()
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "store.db"), migrations)
}

// Postgres returns an empty, migrated store in a database of its own.
func Postgres(t testing.TB, migrations ...db.Migrations) *db.DB {
	t.Helper()
	return open(t, StartPostgres(t), migrations)
}

func open(t testing.TB, dsn string, migrations []db.Migrations) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(t.Context(), migrations...); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	once     sync.Once
	server   *postgres
	startErr error
	count    atomic.Int64
)

// StartPostgres returns the address of an empty database for t, on a server that is started once for the test process
// and ends with it.
func StartPostgres(t testing.TB) string {
	t.Helper()
	once.Do(func() { server, startErr = start() })
	if startErr != nil {
		t.Fatal(startErr)
	}
	name := fmt.Sprintf("t%d", count.Add(1))
	admin, err := sql.Open("pgx", server.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return server.dsn(name)
}

// postgres is a running server.
type postgres struct {
	port int
	log  bytes.Buffer
}

func (p *postgres) dsn(database string) string {
	return fmt.Sprintf("postgres://smbgw@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

const dirPrefix = "smbgw-pg-"

// start makes and starts a server. The kernel ends it when this process dies; its directory is removed by a later start.
func start() (*postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed; `make test` installs what the tests need (Debian package postgresql)")
	}
	slices.Sort(found)
	bin := filepath.Dir(found[len(found)-1])
	sweep()
	dir := filepath.Join(os.TempDir(), dirPrefix+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	cred, err := credential(dir)
	if err != nil {
		return nil, err
	}
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGQUIT}
		c.Dir = dir
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "smbgw", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &postgres{port: l.Addr().(*net.TCPAddr).Port}
	if err := l.Close(); err != nil {
		return nil, err
	}
	c := run("postgres", "-D", data, "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200")
	c.Stderr = &p.log
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the signal comes when the thread dies that started the server: this one stays
		started <- c.Start()
		select {}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		d, err := db.Open(ctx, p.dsn("postgres"))
		cancel()
		if err == nil {
			return p, d.Close()
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("PostgreSQL did not start: %w\n%s", err, p.log.String())
		}
	}
}

// sweep removes the directories of servers whose test process is gone.
func sweep() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), dirPrefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// credential returns the user to run PostgreSQL as, who gets dir: it refuses to run as root.
func credential(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("the Debian package postgresql makes the user postgres: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}
