// Command bench measures the figures of docs/benchmarks.md on this machine, each with its reference in the same run. It runs
// the built binary bin/smbgw with real Samba in a directory of its own, needs the packages of `scripts/setup test`, and
// judges nothing: it prints each figure beside its target.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
)

const (
	binary   = "bin/smbgw"
	user     = "alice"
	password = "correct horse 1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// figure is one line of the result. Reference is in the same unit; zero where there is none.
type figure struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Target    string  `json:"target"`
	Reference float64 `json:"reference,omitempty"`
	Of        string  `json:"referenceOf,omitempty"`
	N         int     `json:"n"`
}

// bench is one run: a gateway as two processes, and a Samba made by hand as the reference.
type bench struct {
	ctx     context.Context
	dir     string
	api     *client.Client
	server  *exec.Cmd
	agent   *exec.Cmd
	smb     string // host:port of our smbd
	ref     *reference
	url     string
	figures []figure
}

func (b *bench) add(f figure) {
	b.figures = append(b.figures, f)
	line := fmt.Sprintf("%-62s %9.2f %-5s target %-9s n=%d", f.Name, f.Value, f.Unit, f.Target, f.N)
	if f.Reference != 0 {
		line += fmt.Sprintf("  reference %.2f (%s), ratio %.2f", f.Reference, f.Of, f.Value/f.Reference)
	}
	fmt.Println(line)
}

func run(ctx context.Context) (err error) {
	// Files on tmpfs: the disk of the machine is not what is measured. World-readable, for the owner of shares.
	dir, err := os.MkdirTemp("/dev/shm", "smbgw-bench-")
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, dir: dir}
	defer func() { err = errors.Join(err, b.stop(), os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, %s, load %s\n", runtime.Version(), runtime.NumCPU(), sambaVersion(), load())
	if err := b.start(); err != nil {
		return err
	}
	if b.ref, err = newReference(ctx, filepath.Join(dir, "ref")); err != nil {
		return err
	}
	for _, step := range []func() error{
		b.idleMemory,
		func() error { return b.firstByte(10, "300 ms") },
		b.throughput,
		b.applyThousand,
		func() error { return b.firstByte(1000, "500 ms") },
		b.lists,
		b.page,
		b.idlePass,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	out, err := json.MarshalIndent(map[string]any{"go": runtime.Version(), "cores": runtime.NumCPU(), "samba": sambaVersion(),
		"load": load(), "at": time.Now().UTC(), "figures": b.figures}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("bench", 0o755); err != nil {
		return err
	}
	return os.WriteFile("bench/latest.json", append(out, '\n'), 0o644)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// start runs server and agent as two processes and makes the users.
func (b *bench) start() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	b.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	if b.server, err = b.spawn("server", "server", "--listen", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	var local struct{ Server, Fingerprint, Token string }
	if err := b.eventually("the server", func() bool {
		raw, err := os.ReadFile(filepath.Join(b.dir, "server", "cli.json"))
		if err != nil || json.Unmarshal(raw, &local) != nil {
			return false
		}
		b.api, err = client.New(client.Options{Server: local.Server, Fingerprint: local.Fingerprint, Token: local.Token})
		if err != nil {
			return false
		}
		_, err = b.api.Version(b.ctx)
		return err == nil
	}); err != nil {
		return err
	}
	e, err := b.api.Enrol(b.ctx, client.EnrolmentSpec{Name: "bench"})
	if err != nil {
		return err
	}
	enrol := exec.CommandContext(b.ctx, binary, "agent", "enrol", "--dir", b.dir, "--server", e.Server, "--fingerprint", e.Fingerprint)
	enrol.Stdin = strings.NewReader(e.Token)
	if out, err := enrol.CombinedOutput(); err != nil {
		return fmt.Errorf("enrol: %w: %s", err, out)
	}
	smbPort, err := freePort()
	if err != nil {
		return err
	}
	b.smb = fmt.Sprintf("127.0.0.1:%d", smbPort)
	if b.agent, err = b.spawn("agent", "agent", "run", "--stop-samba", "--nss", "nss_wrapper", "--smb-bind", "127.0.0.1",
		"--smb-port", strconv.Itoa(smbPort), "--share-root", filepath.Join(b.dir, "shares")); err != nil {
		return err
	}
	secret := password
	if _, err := b.api.Users().Create(b.ctx, client.UserSpec{Name: user, Password: &secret}); err != nil {
		return err
	}
	return b.eventually("the agent", func() bool {
		n, err := b.api.Nodes().Find(b.ctx, "bench")
		return err == nil && n.Status.Phase == "Online" && n.Status.SmbdPID != 0
	})
}

func (b *bench) spawn(name string, args ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(b.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(binary, append(args, "--dir", b.dir)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd, cmd.Start()
}

func (b *bench) stop() error {
	var errs []error
	for _, cmd := range []*exec.Cmd{b.agent, b.server} {
		if cmd != nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			errs = append(errs, cmd.Wait())
		}
	}
	if b.ref != nil {
		errs = append(errs, b.ref.stop())
	}
	return errors.Join(errs...)
}

func (b *bench) eventually(what string, ok func() bool) error {
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) || b.ctx.Err() != nil {
			return fmt.Errorf("%s did not become ready", what)
		}
	}
	return nil
}

func sambaVersion() string {
	out, err := exec.Command("smbd", "--version").Output()
	if err != nil {
		return "Samba of unknown version"
	}
	return strings.Replace(strings.TrimSpace(string(out)), "Version", "Samba", 1)
}

func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:2], " ")
}

// quantile returns the q-quantile of values, which it sorts.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// output runs a program and returns what it prints, with its error output in the error.
func output(ctx context.Context, env []string, stdin string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out.String(), stderr.String())
	}
	return out.String(), nil
}
