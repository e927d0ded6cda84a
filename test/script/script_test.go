// Package script runs the command line in .txtar scripts: those of server/ against a control plane without nodes, one of its
// own for each script.
package script

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/ctl"
	"github.com/pve-smb-gateway/smbgw/internal/server"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"smbgw": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		code := ctl.Execute(ctx, ctl.Root("test"))
		stop()
		os.Exit(code)
	}})
}

// cliFile is what 'smbgw up' leaves for the command line beside it.
type cliFile struct {
	Server      string `json:"server"`
	Fingerprint string `json:"fingerprint"`
	Token       string `json:"token"`
}

func TestServer(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "server", RequireExplicitExec: false, Setup: startServer, Cmds: commands})
}

// startServer runs a control plane in the script's own directory, as 'smbgw up' would, and lets the script find it.
func startServer(env *testscript.Env) error {
	dir := filepath.Join(env.WorkDir, "var", "server")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	srv, err := server.New(ctx, server.Config{Dir: dir, Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		stop()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	env.Defer(func() {
		stop()
		if err := <-ended; err != nil {
			panic(err) // Defer has no other way to fail
		}
	})
	tokenFile := filepath.Join(dir, "token")
	code, err := srv.Bootstrap(ctx)
	if err := errors.Join(err, srv.LocalToken(ctx, tokenFile)); err != nil {
		return err
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(cliFile{"https://" + srv.Addr(), srv.Fingerprint(), strings.TrimSpace(string(token))})
	if err != nil {
		return err
	}
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("SMBGW_CONFIG", filepath.Join(env.WorkDir, "config", "contexts.json"))
	env.Setenv("SERVER", "https://"+srv.Addr())
	env.Setenv("FINGERPRINT", srv.Fingerprint())
	env.Setenv("SETUP_CODE", code)
	return os.WriteFile(filepath.Join(dir, "cli.json"), raw, 0o600)
}

// commands are what scripts can do beside testscript's own.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// exits CODE COMMAND... runs a command and checks its exit code. Its output is kept for stdout and stderr.
	"exits": exits,
	// subst FILE replaces $NAME in a file of the script.
	"subst": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: subst FILE")
		}
		text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
	},
	// mode FILE BITS checks the permission bits of a file.
	"mode": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: mode FILE BITS")
		}
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		if got := info.Mode().Perm().String(); got != args[1] {
			ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
		}
	},
}
