// Package real holds tests of the whole product on real machines: a server on this host, and nodes in unprivileged LXC
// containers with an address of their own. They need root.
package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"
	"github.com/pve-smb-gateway/smbgw/client"
)

const password = "correct horse 1"

// gateway is a server on the host, as a process of the real binary.
type gateway struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	cmd  *exec.Cmd
	*client.Client
}

func newGateway(t *testing.T, n *network) *gateway {
	t.Helper()
	g := &gateway{t: t, bin: filepath.Join(t.TempDir(), "smbgw"), dir: t.TempDir(), addr: n.host() + ":8443"}
	build := exec.Command("go", "build", "-o", g.bin, "github.com/pve-smb-gateway/smbgw/cmd/smbgw")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static: it runs in any container
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	g.start()
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	cli := filepath.Join(g.dir, "server", "cli.json")
	_ = os.Remove(cli)
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	g.cmd = exec.Command(g.bin, "server", "--dir", g.dir, "--listen", g.addr)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	_ = log.Close()
	g.eventually("the server answers", 30*time.Second, func() bool {
		raw, err := os.ReadFile(cli)
		if err != nil {
			return false
		}
		var local struct{ Server, Fingerprint, Token string }
		if err := json.Unmarshal(raw, &local); err != nil {
			return false
		}
		g.Client, err = client.New(client.Options{Server: local.Server, Fingerprint: local.Fingerprint, Token: local.Token})
		if err != nil {
			g.t.Fatal(err)
		}
		_, err = g.Version(g.ctx())
		return err == nil
	})
}

func (g *gateway) stop() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	_ = g.cmd.Wait()
	g.cmd = nil
	if g.t.Failed() {
		if raw, err := os.ReadFile(filepath.Join(g.dir, "log")); err == nil {
			g.t.Logf("the server's log ends with:\n%s", tail(string(raw), 40))
		}
	}
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (g *gateway) ctx() context.Context { return context.WithoutCancel(g.t.Context()) }

func (g *gateway) eventually(what string, within time.Duration, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// node makes the container a node, with its agent as the container's only program.
func (g *gateway) node(n *network, name string, host int) *container {
	g.t.Helper()
	c := newContainer(g.t, n, name, host)
	c.install(g.bin, "usr/local/bin/smbgw", 0o755)
	c.start("/bin/sleep", "infinity")
	c.exec("smbgw", "agent", "setup")
	token, err := g.Enrol(g.ctx(), client.EnrolmentSpec{Name: name})
	if err != nil {
		g.t.Fatal(err)
	}
	c.write("run/token", []byte(token.Token), 0o600)
	c.exec("smbgw", "agent", "enrol", "--server", token.Server, "--fingerprint", token.Fingerprint, "--token-file", "/run/token")
	if out, err := c.try("smbgw", "agent", "enrol", "--server", token.Server, "--fingerprint", token.Fingerprint, "--token-file", "/run/token", "--dir", "/tmp/again"); err == nil {
		g.t.Errorf("the token worked twice: %s", out)
	}
	c.stop()
	c.start(agent...)
	g.online(name)
	return c
}

// agent is the container's program. The shell keeps the container up while the agent is replaced.
var agent = []string{"/bin/sh", "-c", "while :; do smbgw agent run; sleep 0.3; done"}

func (g *gateway) find(name string) *client.Node {
	g.t.Helper()
	n, err := g.Nodes().Find(g.ctx(), name)
	if err != nil {
		g.t.Fatal(err)
	}
	return &n
}

func (g *gateway) online(name string) {
	g.t.Helper()
	g.eventually(name+" is online", time.Minute, func() bool { return g.find(name).Status.Phase == "Online" })
}

// condition returns a node's condition, with an empty one if there is none.
func (g *gateway) condition(node, typ string) client.Condition {
	g.t.Helper()
	for _, c := range g.find(node).Status.Conditions {
		if c.Type == typ {
			return c
		}
	}
	return client.Condition{}
}

func (g *gateway) create(node, name string) client.Share {
	g.t.Helper()
	s, err := g.Shares().Create(g.ctx(), client.ShareSpec{Name: name, Node: node, ValidUsers: []string{"alice"}})
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *gateway) phase(name string) string {
	g.t.Helper()
	s, err := g.Shares().Find(g.ctx(), name)
	var p *client.Problem
	if errors.As(err, &p) && p.Status == 404 {
		return ""
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return s.Status.Phase
}

func (g *gateway) ready(name string) {
	g.t.Helper()
	for deadline := time.Now().Add(time.Minute); g.phase(name) != client.PhaseReady; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			s, _ := g.Shares().Find(g.ctx(), name)
			g.t.Fatalf("share %s is not Ready: %+v", name, s.Status)
		}
	}
}

func (g *gateway) remove(name string) {
	g.t.Helper()
	s, err := g.Shares().Find(g.ctx(), name)
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := g.Shares().Delete(g.ctx(), s.UID, client.Any); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) user(name string) {
	g.t.Helper()
	secret := password
	if _, err := g.Users().Create(g.ctx(), client.UserSpec{Name: name, Password: &secret}); err != nil {
		g.t.Fatal(err)
	}
}

// smb runs smbclient's commands on a share, from the host or, with in, inside a container.
func smb(in *container, addr, share, user, commands string) (string, error) {
	args := []string{"smbclient", "//" + addr + "/" + share, "-U", user, "-t", "20", "-c", commands}
	if in != nil {
		return in.try(args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

const alice = "alice%" + password

// session is an SMB session that a real client holds open. The client never connects anew by itself.
type session struct {
	t     *testing.T
	share *smb2.Share
}

func openSession(t *testing.T, addr, share string) *session {
	t.Helper()
	d := &smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: "alice", Password: password}}
	s, err := d.Dial(t.Context(), addr+":445")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Logoff() })
	sh, err := s.Mount(share)
	if err != nil {
		t.Fatal(err)
	}
	return &session{t, sh}
}

// works writes a file in the open session and reads it back.
func (s *session) works(name string) {
	s.t.Helper()
	if err := s.share.WriteFile(name, []byte(name), 0o644); err != nil {
		s.t.Fatalf("the open session no longer works at %s: %v", name, err)
	}
	if got, err := s.share.ReadFile(name); err != nil || string(got) != name {
		s.t.Fatalf("%s read back as %q: %v", name, got, err)
	}
}

func TestSecondNode(t *testing.T) {
	n := newNetwork(t)
	g := newGateway(t, n)
	g.user("alice")
	g.user("bob")
	c := g.node(n, "node2", 2)
	local := filepath.Join(t.TempDir(), "hello.txt")
	if err := os.WriteFile(local, []byte("hello from the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	back := filepath.Join(t.TempDir(), "back.txt")

	t.Run("used from the host", func(t *testing.T) {
		g.create("node2", "docs")
		g.ready("docs")
		if out, err := smb(nil, c.addr, "docs", alice, "put "+local+" hello.txt; ls; get hello.txt "+back); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got, err := os.ReadFile(back); err != nil || string(got) != "hello from the host" {
			t.Errorf("read back %q, %v", got, err)
		}
		if out, err := exec.Command("smbclient", "-L", c.addr, "-U", alice).CombinedOutput(); err != nil || !strings.Contains(string(out), "docs") {
			t.Errorf("the client cannot list shares: %v\n%s", err, out)
		}
		for _, who := range []string{"bob%" + password, "alice%wrong password", "%"} {
			if out, err := smb(nil, c.addr, "docs", who, "ls"); err == nil {
				t.Errorf("%s got in:\n%s", who, out)
			}
		}
		// One ID runs from the request to the agent's step.
		page, err := g.Audit().List(g.ctx(), client.ListOptions{Filter: `action eq "share.created" and name eq "docs"`})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("audit: %+v, %v", page, err)
		}
		id := `"requestID":"` + page.Items[0].RequestID + `"`
		if !slices.ContainsFunc(strings.Split(c.output.String(), "\n"), func(line string) bool {
			return strings.Contains(line, `"msg":"applied"`) && strings.Contains(line, id)
		}) {
			t.Errorf("the agent's log has no step with %s", id)
		}
		if n := g.find("node2"); n.Address != c.addr || n.SMBPort != 445 || n.Status.NSS != "extrausers" {
			t.Errorf("node: %+v", n)
		}
	})

	t.Run("the agent is killed, restarted and replaced", func(t *testing.T) {
		s := openSession(t, c.addr, "docs")
		s.works("before")
		smbd := strings.TrimSpace(c.exec("cat", "/var/lib/smbgw/samba/pid/smbd.pid"))
		for i, signal := range []string{"-KILL", "-TERM"} {
			old := strings.TrimSpace(c.exec("pgrep", "-f", "^smbgw agent run"))
			if i == 1 { // an upgrade: a new binary in place of the running one
				c.write("usr/local/bin/smbgw.new", read(t, g.bin), 0o755)
				c.exec("mv", "/usr/local/bin/smbgw.new", "/usr/local/bin/smbgw")
			}
			c.exec("kill", signal, old)
			g.eventually("another agent", 20*time.Second, func() bool {
				out, err := c.try("pgrep", "-f", "^smbgw agent run")
				return err == nil && strings.TrimSpace(out) != old
			})
			s.works("after" + signal[1:])
		}
		if now := strings.TrimSpace(c.exec("cat", "/var/lib/smbgw/samba/pid/smbd.pid")); now != smbd {
			t.Errorf("smbd was restarted: %s, then %s", smbd, now)
		}
		g.create("node2", "after")
		g.ready("after")
	})

	t.Run("the cable is pulled and put back", func(t *testing.T) {
		c.pullCable()
		g.eventually("node2 is offline", time.Minute, func() bool { return g.find("node2").Status.Phase == "Offline" })
		if got := g.condition("node2", "Reachable"); got.Status != "False" || got.Message == "" {
			t.Errorf("condition: %+v", got)
		}
		g.create("node2", "meanwhile")
		if out, err := smb(c, "127.0.0.1", "docs", alice, "ls hello.txt"); err != nil {
			t.Errorf("SMB does not work without the server: %v\n%s", err, out)
		}
		if p := g.phase("meanwhile"); p != client.Applying {
			t.Errorf("a share of an unreachable node is %s", p)
		}
		c.plugCable()
		g.online("node2")
		g.ready("meanwhile")
	})

	t.Run("restored from an older copy, and cloned", func(t *testing.T) {
		c.stop()
		image := c.pack()
		c.start(agent...)
		g.online("node2")
		g.remove("after")
		g.eventually("share after is gone", time.Minute, func() bool { return g.phase("after") == "" })
		g.create("node2", "newer")
		g.ready("newer")

		c.stop()
		c.unpack(image)
		c.start(agent...)
		g.eventually("the restored machine is back", 2*time.Minute, func() bool {
			out, err := c.try("net", "--configfile=/var/lib/smbgw/samba/smb.conf", "conf", "listshares")
			return err == nil && strings.Contains(out, "newer") && !strings.Contains(out, "after")
		})
		g.online("node2")
		g.ready("newer")
		g.ready("docs")
		if _, err := smb(nil, c.addr, "docs", alice, "get hello.txt "+back); err != nil {
			t.Error("the file in the image is gone")
		}
		if out := c.exec("ls", "/srv/smb"); !strings.Contains(out, "after") {
			t.Errorf("the files of a removed share were deleted: %s", out)
		}

		// The same image once more, while the first machine runs.
		twin := newContainer(t, n, "twin", 3)
		twin.unpack(image)
		twin.start(agent...)
		g.eventually("the clone is fenced", time.Minute, func() bool { return g.condition("node2", "Fenced").Status == "True" })
		if m := g.condition("node2", "Fenced").Message; !strings.Contains(m, c.addr) || !strings.Contains(m, twin.addr) {
			t.Errorf("the condition does not name both machines: %s", m)
		}
		g.create("node2", "unharmed")
		g.ready("unharmed")
		if out, err := smb(nil, c.addr, "unharmed", alice, "ls"); err != nil {
			t.Errorf("the first machine does not get its new share: %v\n%s", err, out)
		}
		twin.stop()
	})

	t.Run("the control plane is put back to an older state", func(t *testing.T) {
		g.stop()
		backup := t.TempDir()
		run(t, "cp", "-a", filepath.Join(g.dir, "server"), backup)
		g.start()
		g.online("node2")
		g.create("node2", "later")
		g.ready("later")
		g.stop()
		run(t, "rm", "-rf", filepath.Join(g.dir, "server"))
		run(t, "cp", "-a", filepath.Join(backup, "server"), g.dir)
		g.start()
		g.online("node2")
		g.eventually("the removal is held", time.Minute, func() bool { return strings.Contains(fmt.Sprint(g.find("node2").Status.Held), "later") })
		if out, err := smb(nil, c.addr, "later", alice, "ls"); err != nil {
			t.Errorf("a held share is not served: %v\n%s", err, out)
		}
		node := g.find("node2")
		if _, err := g.ConfirmRemovals(g.ctx(), node.UID, node.ETag()); err != nil {
			t.Fatal(err)
		}
		g.eventually("the confirmed removal is done", time.Minute, func() bool { return len(g.find("node2").Status.Held) == 0 })
		if _, err := smb(nil, c.addr, "later", alice, "ls"); err == nil {
			t.Error("the removed share is still served")
		}
		g.ready("docs")
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
