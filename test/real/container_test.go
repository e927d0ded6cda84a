package real

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// packages of the container's Debian: what a node needs, and nothing of ours.
var packages = []string{"samba", "samba-vfs-modules", "libnss-extrausers", "iproute2", "smbclient", "attr"}

const (
	suite = "bookworm"
	// shift is where the container's ids begin on the host: it is unprivileged.
	shift = 100000
	ids   = 65536
)

// rootfs returns a tar of a Debian root file system with what a node needs. It is made once by debootstrap and kept in
// .cache of the checkout.
func rootfs(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(suite + strings.Join(packages, ",")))
	tar := filepath.Join(cacheDir(t), fmt.Sprintf("rootfs-%s-%x.tar", suite, sum[:6]))
	if _, err := os.Stat(tar); err == nil {
		return tar
	}
	dir, err := os.MkdirTemp(filepath.Dir(tar), "rootfs-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, dir)
	run(t, "tar", "-C", dir, "--exclude=./dev/*", "--exclude=./var/cache/apt/archives/*.deb", "-cf", tar+".new", ".")
	if err := os.Rename(tar+".new", tar); err != nil {
		t.Fatal(err)
	}
	return tar
}

func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// network is a bridge of the test's own.
type network struct {
	bridge string
	prefix string // first three octets
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("containers and their network need root: run as root, for instance with sudo make real")
	}
	n := &network{bridge: fmt.Sprintf("smbgw%d", os.Getpid()%10000), prefix: fmt.Sprintf("10.199.%d", os.Getpid()%250)}
	run(t, "ip", "link", "add", n.bridge, "type", "bridge")
	t.Cleanup(func() { run(t, "ip", "link", "del", n.bridge) })
	run(t, "ip", "addr", "add", n.host()+"/24", "dev", n.bridge)
	run(t, "ip", "link", "set", n.bridge, "up")
	return n
}

func (n *network) host() string { return n.prefix + ".1" }

// container is an unprivileged LXC container with a root file system of its own.
type container struct {
	t      *testing.T
	name   string
	addr   string
	dir    string // holds root and LXC's own files
	net    *network
	cmd    *exec.Cmd
	output lockedBuffer
}

// lockedBuffer may be read while a program writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newContainer unpacks the root file system; start starts a program in it.
func newContainer(t *testing.T, n *network, name string, host int) *container {
	t.Helper()
	dir, err := os.MkdirTemp(cacheDir(t), "ct-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	c := &container{t: t, name: name, addr: fmt.Sprintf("%s.%d", n.prefix, host), dir: dir, net: n}
	t.Cleanup(func() {
		if t.Failed() && c.cmd != nil {
			smbd, _ := c.try("tail", "-n", "30", "/var/lib/smbgw/samba/log/log.smbd")
			t.Logf("%s says:\n%s\nits smbd says:\n%s", name, tail(c.output.String(), 30), smbd)
		}
		c.stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, d := range []string{dir, c.root(), filepath.Join(dir, "lxc")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.unpack(rootfs(t))
	// As Proxmox does. Without its own name there, each login waits for DNS, which the container has not got.
	c.write("etc/hosts", fmt.Appendf(nil, "127.0.0.1 localhost\n%s %s\n", c.addr, name), 0o644)
	c.write("etc/resolv.conf", nil, 0o644)
	conf := fmt.Sprintf(`lxc.uts.name = %s
lxc.rootfs.path = dir:%s
lxc.idmap = u 0 %d %d
lxc.idmap = g 0 %d %d
lxc.net.0.type = veth
lxc.net.0.link = %s
lxc.net.0.name = eth0
lxc.net.0.veth.pair = %s
lxc.net.0.flags = up
lxc.net.0.ipv4.address = %s/24
lxc.net.0.ipv4.gateway = %s
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed sys:mixed
lxc.autodev = 1
`, name, c.root(), shift, ids, shift, ids, n.bridge, c.cable(), c.addr, n.host())
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *container) root() string { return filepath.Join(c.dir, "root") }

// cable is the host's end of the container's network cable; a name has at most 15 bytes.
func (c *container) cable() string {
	return c.net.bridge + "v" + c.addr[strings.LastIndex(c.addr, ".")+1:]
}

// unpack replaces the root file system by what is in tar, as the container's root would.
func (c *container) unpack(tar string) {
	c.t.Helper()
	if err := os.RemoveAll(c.root()); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Mkdir(c.root(), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(c.root(), shift, shift); err != nil {
		c.t.Fatal(err)
	}
	in, err := os.Open(tar)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	cmd := c.inUserNamespace("tar", "-C", c.root(), "-xpf", "-")
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("unpack: %v\n%s", err, out)
	}
}

// pack writes the root file system as it is now to a tar: an image that it can be restored from later.
func (c *container) pack() string {
	c.t.Helper()
	tar := filepath.Join(c.dir, "image.tar")
	out, err := os.Create(tar)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := c.inUserNamespace("tar", "-C", c.root(), "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", "-", ".")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("pack: %v\n%s", err, stderr.String())
	}
	if err := out.Close(); err != nil {
		c.t.Fatal(err)
	}
	return tar
}

func (c *container) inUserNamespace(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	mapping := []syscall.SysProcIDMap{{ContainerID: 0, HostID: shift, Size: ids}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: mapping, GidMappings: mapping,
		GidMappingsEnableSetgroups: true, Credential: &syscall.Credential{Uid: 0, Gid: 0}}
	return cmd
}

// install copies a file of the host into the stopped container, owned by its root.
func (c *container) install(from, to string, mode os.FileMode) {
	c.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(to, data, mode)
}

func (c *container) write(to string, data []byte, mode os.FileMode) {
	c.t.Helper()
	path := filepath.Join(c.root(), to)
	if err := os.WriteFile(path, data, mode); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(path, shift, shift); err != nil {
		c.t.Fatal(err)
	}
}

// start boots the container with program as its only service, under LXC's own init.
func (c *container) start(program ...string) {
	c.t.Helper()
	args := append([]string{"-n", c.name, "-P", filepath.Join(c.dir, "lxc"), "-f", filepath.Join(c.dir, "config"), "--"}, program...)
	c.cmd = lxc("lxc-execute", args...)
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := c.try("true"); err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("container %s did not start:\n%s", c.name, c.output.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// stop pulls the plug: every process of the container is killed.
func (c *container) stop() {
	if c.cmd == nil {
		return
	}
	_ = lxc("lxc-stop", "-k", "-n", c.name, "-P", filepath.Join(c.dir, "lxc")).Run()
	_ = c.cmd.Wait()
	c.cmd = nil
}

// exec runs a program in the running container and returns what it prints.
func (c *container) exec(program ...string) string {
	c.t.Helper()
	out, err := c.try(program...)
	if err != nil {
		c.t.Fatalf("%s: %s: %v\n%s", c.name, strings.Join(program, " "), err, out)
	}
	return out
}

func (c *container) try(program ...string) (string, error) {
	pid, err := lxc("lxc-info", "-n", c.name, "-P", filepath.Join(c.dir, "lxc"), "-p", "-H").Output()
	if err != nil {
		return c.output.String(), err
	}
	// Not lxc-attach: it wants cgroup and seccomp features that build machines lack.
	args := []string{"-t", strings.TrimSpace(string(pid)), "-U", "-m", "-n", "-p", "-u", "-i", "-S", "0", "-G", "0", "-r", "-w", "--"}
	out, err := exec.Command("nsenter", append(args, program...)...).CombinedOutput()
	return string(out), err
}

// pullCable and plugCable cut and restore the container's network.
func (c *container) pullCable() { c.t.Helper(); run(c.t, "ip", "link", "set", c.cable(), "down") }
func (c *container) plugCable() { c.t.Helper(); run(c.t, "ip", "link", "set", c.cable(), "up") }

// lxc makes a command with a PATH on which LXC does not find newuidmap: root writes the id map itself, and so needs no
// entry in /etc/subuid.
func lxc(name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	if err != nil {
		path = name
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin")
	return cmd
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = io.Writer(&out), &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
