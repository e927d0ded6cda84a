package samba

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newInstance(t *testing.T) *Instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "smbgw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	i := &Instance{Dir: dir, Port: 44599, Bind: []string{"127.0.0.1"}, NSS: NSSWrapper, ShareRoots: []string{dir + "/shares"}}
	if err := i.WriteConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	for db, line := range map[string]string{"passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", "group": "root:x:0:\nnogroup:x:65534:\n"} {
		if err := os.WriteFile(i.NSSFile(db), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func TestConfigIsAcceptedByTestparm(t *testing.T) {
	i := newInstance(t)
	out, err := i.Run(t.Context(), nil, "testparm", "-s", i.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out.Stderr)) {
		for _, bad := range []string{"Unknown parameter", "WARNING", "ERROR", "deprecated"} {
			if strings.Contains(line, bad) {
				t.Errorf("testparm: %s", line)
			}
		}
	}
	if !strings.Contains(string(out.Stdout), "restrict anonymous = 2") {
		t.Errorf("testparm shows another configuration:\n%s", out.Stdout)
	}
}

func TestWriteConfigIsIdempotent(t *testing.T) {
	i := newInstance(t)
	before, err := os.Stat(i.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := i.WriteConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(i.ConfigFile())
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("the second WriteConfig wrote: %v", err)
	}
}

func TestRunErrors(t *testing.T) {
	i := newInstance(t)
	_, err := i.Run(t.Context(), nil, "net", "conf", "showshare", "nope")
	fail, ok := errors.AsType[*CommandError](err)
	if !ok || fail.ExitStatus != 255 || !strings.Contains(fail.Stderr, "SBC_ERR_NO_SUCH_SERVICE") {
		t.Errorf("got %#v", err)
	}
	if _, err = i.Run(t.Context(), nil, "no-such-program"); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("got %v, want ErrNotInstalled", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = i.Run(ctx, nil, "net", "conf", "list"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestRedact(t *testing.T) {
	for _, args := range [][]string{{"-U", "u%secret"}, {"-Uu%secret"}, {"--user=u%secret"}, {"--password=secret"}} {
		if got := strings.Join(redact("smbclient", args), " "); strings.Contains(got, "secret") {
			t.Errorf("%v: %s", args, got)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Instance{Dir: "/d", Port: 445, NSS: NSSExtrausers, ShareRoots: []string{"/srv"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Instance){
		"relative":     func(i *Instance) { i.Dir = "d" },
		"newline":      func(i *Instance) { i.Dir = "/d\nguest ok = yes" },
		"macro":        func(i *Instance) { i.Dir = "/d/%U" },
		"long":         func(i *Instance) { i.Dir = "/" + strings.Repeat("d", maxDir) },
		"port":         func(i *Instance) { i.Port = 0 },
		"bind":         func(i *Instance) { i.Bind = []string{"eth0\nfoo"} },
		"netbios":      func(i *Instance) { i.NetbiosName = "a b" },
		"workgroup":    func(i *Instance) { i.Workgroup = "ABCDEFGHIJKLMNOP" },
		"nss":          func(i *Instance) { i.NSS = "ldap" },
		"no roots":     func(i *Instance) { i.ShareRoots = nil },
		"root is root": func(i *Instance) { i.ShareRoots = []string{"/"} },
	} {
		i := good
		spoil(&i)
		if i.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestSmbdStarts shows that the rendered configuration serves: it is what smbdproc will run.
func TestSmbdStarts(t *testing.T) {
	i := newInstance(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	if err := i.WriteConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	smbd, err := Program("smbd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(smbd, "-F", "--no-process-group", "-l", i.LogDir(), "-s", i.ConfigFile())
	cmd.Env = i.Env()
	// On SIGTERM smbd signals its whole process group: it must not be ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() }()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", l.Addr().String(), time.Second)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("smbd does not listen: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	out, err := i.Run(t.Context(), nil, "smbcontrol", "smbd", "ping")
	if err != nil || !strings.Contains(string(out.Stdout), "PONG") {
		t.Errorf("smbcontrol finds no smbd: %v %s", err, out.Stdout)
	}
}
