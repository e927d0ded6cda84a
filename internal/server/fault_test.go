package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/server"
)

// unavailable expects that a change is refused for now, as a whole, while reading goes on.
func (r *running) unavailable(what string) {
	r.t.Helper()
	a := r.do("POST", "/users", `{"name":"victim"}`)
	a.expect(r.t, what, 503, "server.unavailable")
	if a.body["retryable"] != true {
		r.t.Errorf("%s: not retryable: %s", what, a.raw)
	}
	if got := r.do("GET", "/users?q=victim", ""); got.status != 200 || got.body["total"] != 0.0 {
		r.t.Errorf("%s: reading: %d %s", what, got.status, got.raw)
	}
}

// recovered expects that changes work again and that the trail is whole.
func (r *running) recovered() {
	r.t.Helper()
	if a := r.do("POST", "/users", `{"name":"victim"}`); a.status != 201 {
		r.t.Errorf("after the fault: %d %s", a.status, a.raw)
	}
	if v := r.do("GET", "/audit/verify", ""); v.body["ok"] != true {
		r.t.Errorf("audit: %s", v.raw)
	}
}

func TestDatabaseLocked(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	other, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "store.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.unavailable("a locked database")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	r.recovered()
}

func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("a small disk can be made by root only: run as root, for instance with sudo make test")
	}
	dir := t.TempDir()
	if err := syscall.Mount("smbgw", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r := start(t, dir)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	r.unavailable("a full disk")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	r.recovered()
	r.stop() // before the disk goes
}

func TestConsolePortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var log bytes.Buffer
	s, err := server.New(context.Background(), server.Config{Dir: t.TempDir(), Listen: l.Addr().String(), Log: logx.New(&log, 0)})
	if err == nil || s != nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a taken port: %v", err)
	}
}
