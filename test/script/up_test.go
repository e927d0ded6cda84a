package script

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestUp runs the scripts of up/ against the real program in the role up: real smbd, real clients.
func TestUp(t *testing.T) {
	binary := sync.OnceValues(func() (string, error) {
		path := filepath.Join(t.TempDir(), "smbgw")
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/smbgw").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
	for _, program := range []string{"smbd", "smbclient"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; run 'make setup-test'", err)
		}
	}
	testscript.Run(t, testscript.Params{Dir: "up", Setup: func(env *testscript.Env) error {
		path, err := binary()
		if err != nil {
			return err
		}
		return startUp(env, path)
	}, Cmds: commands})
}

// startUp runs 'smbgw up' in the script's own directory, until the script ends, and waits until it can be used.
func startUp(env *testscript.Env, binary string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	dir := filepath.Join(env.WorkDir, "var")
	// Samba acts as another user, who must get through to the files.
	for d := env.WorkDir; d != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	log, err := os.Create(filepath.Join(env.WorkDir, "up.log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "up", "--dir", dir, "--listen", "127.0.0.1:0", "--smb-port", port)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, env.WorkDir
	cmd.Env = append(os.Environ(), "HOME="+env.WorkDir)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	env.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			panic("'smbgw up' did not stop within 30 s of Ctrl-C") // Defer has no other way to fail
		}
		_ = log.Close()
	})
	for _, name := range []string{"HOME", "W"} {
		env.Setenv(name, env.WorkDir)
	}
	env.Setenv("SMBGW_CONFIG", filepath.Join(env.WorkDir, "config", "contexts.json"))
	env.Setenv("SMB_PORT", port)
	// No --wait-for-start exists: the file appears when the server stands, and the first share waits for the node.
	for range 300 {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(log.Name())
			return errors.Join(fmt.Errorf("'smbgw up' has ended:\n%s", text), err)
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := os.Stat(filepath.Join(dir, "server", "cli.json")); err == nil && enrolled(env, binary) {
			return nil
		}
	}
	text, _ := os.ReadFile(log.Name())
	return fmt.Errorf("'smbgw up' was not ready within 30 s:\n%s", text)
}

// enrolled reports whether the server has its node, without which no share can be created.
func enrolled(env *testscript.Env, binary string) bool {
	out, err := exec.Command(binary, "--dir", filepath.Join(env.WorkDir, "var"), "--json", "node", "list", "--filter", `phase eq "Online"`).Output()
	return err == nil && bytes.Contains(out, []byte(`"total": 1`))
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}
