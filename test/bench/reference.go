package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// reference is a Samba as one sets it up by hand, with Debian's defaults and shares in the registry: what we are measured
// against.
type reference struct {
	ctx  context.Context
	dir  string
	addr string
	env  []string
	smbd *exec.Cmd
}

func newReference(ctx context.Context, dir string) (*reference, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &reference{ctx: ctx, dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", port)}
	for _, d := range []string{"private", "lock", "state", "cache", "pid", "ncalrpc", "log", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(filepath.Join(dir, "data"), 0o777); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`[global]
private dir = %[1]s/private
lock directory = %[1]s/lock
state directory = %[1]s/state
cache directory = %[1]s/cache
pid directory = %[1]s/pid
ncalrpc dir = %[1]s/ncalrpc
log file = %[1]s/log/log.%%m
smb ports = %[2]d
interfaces = 127.0.0.1
bind interfaces only = yes
disable spoolss = yes
load printers = no
include = registry
[ref]
path = %[1]s/data
read only = no
`, dir, port)
	passwd := "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n" + user + ":x:20000:65534::/:/bin/false\n"
	for file, text := range map[string]string{"smb.conf": conf, "passwd": passwd, "group": "root:x:0:\nnogroup:x:65534:\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	r.env = []string{"LD_PRELOAD=libnss_wrapper.so", "NSS_WRAPPER_PASSWD=" + dir + "/passwd", "NSS_WRAPPER_GROUP=" + dir + "/group"}
	if _, err := output(ctx, r.env, password+"\n"+password+"\n", "pdbedit", "-s", dir+"/smb.conf", "-a", "-t", "-u", user); err != nil {
		return nil, err
	}
	r.smbd = exec.Command("smbd", "-F", "--no-process-group", "-l", dir+"/log", "-s", dir+"/smb.conf")
	r.smbd.Env = append(os.Environ(), r.env...)
	r.smbd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	if err := r.smbd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		s, err := connect(ctx, r.addr, "ref")
		if err == nil {
			return r, s.close()
		}
		if time.Now().After(deadline) {
			return r, fmt.Errorf("the reference smbd does not answer: %w", err)
		}
	}
}

// addShare makes a share as an administrator would.
func (r *reference) addShare(name string) error {
	_, err := output(r.ctx, r.env, "", "net", "--configfile="+r.dir+"/smb.conf", "conf", "addshare", name, r.dir+"/data", "writeable=y", "guest_ok=n")
	return err
}

func (r *reference) stop() error {
	_ = r.smbd.Process.Signal(syscall.SIGTERM)
	err := r.smbd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil // it was told to
	}
	// samba-dcerpcd is in a session of its own and outlives smbd.
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range all {
		raw, readErr := os.ReadFile(file)
		if readErr == nil && strings.Contains(string(raw), "NSS_WRAPPER_PASSWD="+r.dir+"/passwd") {
			var pid int
			if _, scanErr := fmt.Sscanf(file, "/proc/%d/", &pid); scanErr == nil {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	}
	return err
}
