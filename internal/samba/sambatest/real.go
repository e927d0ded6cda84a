package sambatest

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// New returns a private instance in a directory of its own, with nss_wrapper and one share root, configured but not
// running. It goes when the test ends. Without the programs the test fails.
func New(t testing.TB) *samba.Instance {
	t.Helper()
	for _, p := range []string{"net", "pdbedit", "testparm", "smbcontrol", "smbd"} {
		if _, err := samba.Program(p); err != nil {
			t.Fatal(err)
		}
	}
	// Not t.TempDir, whose names are too long for sockets.
	dir, err := os.MkdirTemp("", "smbgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // smbd's children enter it as other users
		t.Fatal(err)
	}
	root := filepath.Join(dir, "shares")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	i := &samba.Instance{Dir: filepath.Join(dir, "i"), Port: port, Bind: []string{"127.0.0.1"}, NetbiosName: "SMBGWTEST",
		NSS: samba.NSSWrapper, ShareRoots: []string{root}}
	if err := i.WriteConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	return i
}

// Start runs smbd for inst until the test ends, and waits until it listens.
func Start(t testing.TB, inst *samba.Instance) {
	t.Helper()
	smbd, err := samba.Program("smbd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(smbd, "-F", "--no-process-group", "-l", inst.LogDir(), "-s", inst.ConfigFile())
	cmd.Env = inst.Env()
	// On SIGTERM smbd signals its whole process group: it must not be ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		stopHelper(filepath.Join(inst.PIDDir(), "samba-dcerpcd.pid"))
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(inst.Port))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("smbd does not listen: %v", err)
		}
	}
}

// stopHelper ends samba-dcerpcd, which lives in a session of its own and outlives smbd.
func stopHelper(pidFile string) {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
		syscall.Kill(pid, syscall.SIGTERM)
	}
}
