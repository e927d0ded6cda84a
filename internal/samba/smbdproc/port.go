package smbdproc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// addresses returns the host:port pairs on which inst listens.
func addresses(inst *samba.Instance) []string {
	port := strconv.Itoa(inst.Port)
	if len(inst.Bind) == 0 {
		return []string{":" + port}
	}
	var out []string
	for _, b := range inst.Bind {
		out = append(out, net.JoinHostPort(b, port))
	}
	return out
}

// Address returns a host:port at which a client on this machine reaches inst.
func Address(inst *samba.Instance) string {
	host := "127.0.0.1"
	for _, b := range inst.Bind {
		if ip := net.ParseIP(b); ip != nil && !ip.IsUnspecified() {
			host = b
			break
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(inst.Port))
}

// checkPort reports why smbd could not listen.
func checkPort(inst *samba.Instance) *samba.Problem {
	for _, a := range addresses(inst) {
		l, err := net.Listen("tcp", a)
		switch {
		case err == nil:
			l.Close()
		case errors.Is(err, unix.EADDRINUSE):
			who := "another program"
			if h := holder(inst.Port); h != "" {
				who = h
			}
			return &samba.Problem{Reason: "smbd.port_taken", Message: fmt.Sprintf(
				"Port %d, on which smbd shall listen, is in use by %s. Stop that program, or give the agent another SMB port.", inst.Port, who)}
		case errors.Is(err, unix.EACCES):
			return &samba.Problem{Reason: "smbd.port_denied", Message: fmt.Sprintf(
				"This user may not listen on port %d. Run the agent as root, or give it an SMB port above 1023.", inst.Port)}
		case errors.Is(err, unix.EADDRNOTAVAIL):
			return &samba.Problem{Reason: "smbd.address_missing", Message: fmt.Sprintf(
				"No network interface of this machine has the address of %s. Configure the interface, or correct the agent's bind addresses.", a)}
		default:
			return &samba.Problem{Reason: "smbd.port_unusable", Message: fmt.Sprintf(
				"smbd cannot listen on %s: %v. Correct the agent's bind addresses.", a, err)}
		}
	}
	return nil
}

// accepts reports whether the instance's port takes connections.
func accepts(inst *samba.Instance) bool {
	c, err := net.DialTimeout("tcp", Address(inst), time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// holder names the process that listens on port, such as "nginx (pid 123)", or returns "".
func holder(port int) string {
	inodes := listeners(port)
	entries, err := os.ReadDir("/proc")
	if err != nil || len(inodes) == 0 {
		return ""
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !holds(pid, inodes) {
			continue
		}
		name, err := os.ReadFile(procFile(pid, "comm"))
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// listens reports whether the process has a listening socket on port.
func listens(pid, port int) bool { return holds(pid, listeners(port)) }

func holds(pid int, inodes map[string]bool) bool {
	if len(inodes) == 0 {
		return false
	}
	dir := procFile(pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && inodes[target] {
			return true
		}
	}
	return false
}

// listeners returns the sockets that listen on port, as /proc/PID/fd names them: "socket:[12345]".
func listeners(port int) map[string]bool {
	out := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if b, err := os.ReadFile(file); err == nil {
			parseListeners(string(b), port, out)
		}
	}
	return out
}

func parseListeners(table string, port int, out map[string]bool) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		const listen = "0A"
		if len(f) > 9 && f[3] == listen && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			out["socket:["+f[9]+"]"] = true
		}
	}
}
