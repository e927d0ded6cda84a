package smbdproc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// process is one living process of an instance.
type process struct {
	pid, parent int
	program     string // base name of the executable
	started     uint64 // clock ticks since boot; with the pid it names one process for good
}

// find returns all living processes of inst: smbd with its children, samba-dcerpcd and its helpers. Programs that are run
// against the instance for a moment, such as net, are not among them.
func find(inst *samba.Instance) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("smbdproc: %w", err)
	}
	var out []process
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := inspect(inst, pid); ok {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// inspect returns the process pid if it lives and belongs to inst.
func inspect(inst *samba.Instance, pid int) (process, bool) {
	p, ok := readStat(pid)
	if !ok {
		return p, false
	}
	exe, err := os.Readlink(procFile(pid, "exe"))
	if err != nil {
		return p, false
	}
	// After an upgrade of Samba the running file is gone from disk.
	p.program = filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
	if p.program != "smbd" && p.program != "samba-dcerpcd" && !strings.HasPrefix(p.program, "rpcd_") {
		return p, false
	}
	// The arguments name our smb.conf. samba-dcerpcd may be started without them; its environment has our mark.
	if has(procFile(pid, "cmdline"), inst.ConfigFile(), "--configfile="+inst.ConfigFile(), "-s"+inst.ConfigFile()) ||
		has(procFile(pid, "environ"), inst.Mark()) {
		return p, true
	}
	return p, false
}

// has reports whether one of the NUL-separated texts of a file in /proc is one of those wanted.
func has(file string, want ...string) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for text := range bytes.SplitSeq(b, []byte{0}) {
		if slices.Contains(want, string(text)) {
			return true
		}
	}
	return false
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// readStat reads parent and start time; ok is false for the dead, zombies included.
func readStat(pid int) (p process, ok bool) {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return p, false
	}
	p, ok = parseStat(b)
	p.pid = pid
	return p, ok
}

func parseStat(b []byte) (p process, ok bool) {
	// The name may hold spaces and parentheses; fields count from the last parenthesis.
	_, rest, ok := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return p, false
	}
	p.parent, _ = strconv.Atoi(f[1])
	p.started, _ = strconv.ParseUint(f[19], 10, 64)
	return p, true
}

// main returns the smbd that is the parent of all others: the one of the pid file, or, should that be lost, the one
// whose parent is not of the instance.
func main(inst *samba.Instance) (process, bool, error) {
	if pid, ok := readPID(filepath.Join(inst.PIDDir(), "smbd.pid")); ok {
		if p, ok := inspect(inst, pid); ok && p.program == "smbd" {
			if parent, ok := inspect(inst, p.parent); !ok || parent.program != "smbd" {
				return p, true, nil
			}
		}
	}
	all, err := find(inst)
	if err != nil {
		return process{}, false, err
	}
	family := map[int]bool{}
	for _, p := range all {
		family[p.pid] = true
	}
	// Children of an smbd that was killed are orphans for a moment before they follow it; they do not listen.
	for _, p := range all {
		if p.program == "smbd" && !family[p.parent] && listens(p.pid, inst.Port) {
			return p, true, nil
		}
	}
	return process{}, false, nil
}

// stalePassdb reports whether an smbd has a passdb.tdb open that is no longer the one on disk: then it knows no account
// that came later, and nobody but a restart can help it. pdbedit replaces the file when it makes it, should two of them do
// so at once; and so does a person who restores it from a copy.
func stalePassdb(inst *samba.Instance, pid int) bool {
	dir := procFile(pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && target == inst.PassdbFile()+" (deleted)" {
			return true
		}
	}
	return false
}

func readPID(file string) (int, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimRight(string(b), "\x00")))
	return pid, err == nil && pid > 1
}

// startedAt converts clock ticks since boot into a time.
func startedAt(ticks uint64) time.Time {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Time{}
	}
	const perSecond = 100 // USER_HZ, fixed by the kernel's ABI
	age := time.Duration(now.Nano()) - time.Duration(ticks)*(time.Second/perSecond)
	return time.Now().Add(-age).UTC().Truncate(10 * time.Millisecond)
}

// watch is a hold on one process that a reused pid cannot confuse.
type watch struct {
	pid  int
	file *os.File
}

// openPID returns a watch of whatever process has the pid now, or [os.ErrProcessDone].
func openPID(pid int) (*watch, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("smbdproc: pidfd_open: %w", err)
	}
	return &watch{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// open returns a watch of p, or [os.ErrProcessDone].
func open(p process) (*watch, error) {
	w, err := openPID(p.pid)
	if err != nil {
		return nil, err
	}
	if again, ok := readStat(p.pid); !ok || again.started != p.started {
		w.close()
		return nil, os.ErrProcessDone
	}
	return w, nil
}

// wait returns when the process is gone, or with an error after interrupt or close.
func (w *watch) wait() error {
	c, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	return c.Read(func(fd uintptr) bool { return readable(int(fd)) })
}

// waitFor waits at most d and reports whether the process is gone.
func (w *watch) waitFor(d time.Duration) bool {
	_ = w.file.SetReadDeadline(time.Now().Add(d))
	return w.wait() == nil
}

// interrupt makes wait return.
func (w *watch) interrupt() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

func (w *watch) signal(s unix.Signal) error {
	c, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = c.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), s, nil, 0) })
	return errors.Join(err, sent)
}

func (w *watch) close() { _ = w.file.Close() }

func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}
