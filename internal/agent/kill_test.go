package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

// asAgent is set in a helper process that is an agent whose server is a directory: it reads snapshot.json there and
// writes report.json.
const asAgent = "SMBGW_TEST_AGENT"

type helper struct {
	StateDir string
	Instance samba.Instance
	Server   string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(asAgent); text != "" {
		var h helper
		if err := json.Unmarshal([]byte(text), &h); err != nil {
			panic(err)
		}
		c := Config{StateDir: h.StateDir, Instance: h.Instance, PassEvery: 200 * time.Millisecond, ProbeEvery: time.Second,
			Link: &mailbox{dir: h.Server, nudges: make(chan link.Nudge, 1)},
			Smbd: smbdproc.Options{BackoffMin: 20 * time.Millisecond, RetryAfter: 50 * time.Millisecond}}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := Run(ctx, c); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// mailbox is a link over files.
type mailbox struct {
	dir    string
	nudges chan link.Nudge
}

func (m *mailbox) Identity() link.Identity   { return link.Identity{NodeUID: nodeUID} }
func (m *mailbox) Nudges() <-chan link.Nudge { return m.nudges }

func (m *mailbox) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case m.nudges <- link.Nudge{}:
		default:
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (m *mailbox) FetchSnapshot(_ context.Context, have desired.Revision) (*link.Fetched, error) {
	raw, err := os.ReadFile(filepath.Join(m.dir, "snapshot.json"))
	if err != nil {
		return nil, link.ErrOffline
	}
	snap := new(desired.Snapshot)
	if err := json.Unmarshal(raw, snap); err != nil {
		return nil, err
	}
	if snap.Revision == have {
		return &link.Fetched{}, nil
	}
	return &link.Fetched{Snapshot: snap, Raw: raw}, nil
}

func (m *mailbox) SendReport(r *desired.Report) {
	raw, err := json.Marshal(r)
	if err == nil {
		err = replaceFile(filepath.Join(m.dir, "report.json"), raw)
	}
	if err != nil {
		panic(err)
	}
}

// TestKilledAtRandom kills agent and smbd with SIGKILL at random points of random histories; left alone, the node always
// becomes what the last snapshot says.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	h := helper{StateDir: r.c.StateDir, Instance: r.c.Instance, Server: t.TempDir()}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env, cmd.Stderr = append(os.Environ(), asAgent+"="+string(text)), os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	publish := func() {
		t.Helper()
		r.snap.Revision.Number++
		r.snap.ConfirmedEpoch, r.snap.ConfirmedNumber = r.snap.Revision.Epoch, r.snap.Revision.Number
		if err := replaceFile(filepath.Join(h.Server, "snapshot.json"), marshal(r.snap)); err != nil {
			t.Fatal(err)
		}
	}
	report := func() *desired.Report {
		rep := new(desired.Report)
		if raw, err := os.ReadFile(filepath.Join(h.Server, "report.json")); err == nil {
			if err := json.Unmarshal(raw, rep); err != nil {
				t.Fatal(err)
			}
		}
		return rep
	}
	defer func() {
		if t.Failed() {
			text, _ := json.MarshalIndent(report(), "", " ")
			t.Logf("last report\n%s", text)
		}
	}()
	publish()
	agent := start()
	defer func() { _ = agent.Process.Kill(); _ = agent.Wait() }()
	for n := range 12 {
		// Some changes, with kills in between and during them.
		for range 1 + rnd.IntN(4) {
			switch s := &r.snap; rnd.IntN(4) {
			case 0, 1:
				sh := share(fmt.Sprintf("share%d-%d", n, rnd.IntN(1000)))
				sh.UID += fmt.Sprint(rnd.Int())
				s.Shares = append(s.Shares, sh)
			case 2:
				if len(s.Shares) > 0 {
					sh := &s.Shares[rnd.IntN(len(s.Shares))]
					sh.Generation++
					sh.ReadOnly = !sh.ReadOnly
				}
			case 3:
				if len(s.Shares) > 0 {
					i := rnd.IntN(len(s.Shares))
					s.Shares = append(s.Shares[:i:i], s.Shares[i+1:]...)
				}
			}
			publish()
			time.Sleep(time.Duration(rnd.IntN(120)) * time.Millisecond)
		}
		if rnd.IntN(3) == 0 {
			if pid := report().Node.SmbdPID; pid > 1 && smbdOf(pid, r.c.Instance.ConfigFile()) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if rnd.IntN(3) > 0 {
			_ = agent.Process.Kill()
			_ = agent.Wait()
			agent = start()
		}
	}
	eventually(t, "converged", func() bool {
		rep := report()
		if rep.Revision != r.snap.Revision || rep.Node.SmbdPID == 0 {
			return false
		}
		for _, s := range r.snap.Shares {
			if !ready(s.UID, s.Generation)(rep) {
				return false
			}
		}
		shares := 0
		for _, o := range rep.Objects {
			if o.Kind == desired.KindShare {
				shares++
			}
		}
		return shares == len(r.snap.Shares) && object.Is(rep.Node.Conditions, object.Ready, object.True)
	})
	// Samba holds exactly that.
	state, err := registry.New(&r.c.Instance).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for _, s := range r.snap.Shares {
		want[s.UID] = s.Generation
	}
	for _, s := range state.Sections {
		if want[s.ID] != s.Generation {
			t.Errorf("section %s: generation %d, want %d", s.Name, s.Generation, want[s.ID])
		}
		delete(want, s.ID)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	// No probe has left a file, no agent a second smbd.
	files, err := filepath.Glob(filepath.Join(r.c.Instance.ShareRoots[0], "*", ".smbgw-probe-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := os.Stat(f)
		if err == nil && time.Since(st.ModTime()) > 2*time.Second {
			t.Errorf("a probe left %s", f)
		}
	}
	_ = agent.Process.Signal(syscall.SIGTERM)
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	roots := 0
	for _, line := range mentions(t, r.c.Instance.Dir) {
		if pid := strings.Fields(line)[0]; strings.Contains(line, "smbd -F") && parentIsNotSmbd(pid) {
			roots++
		}
	}
	if roots != 1 {
		t.Errorf("%d main processes of smbd", roots)
	}
}

// smbdOf reports whether pid is an smbd of that configuration, before it is killed.
func smbdOf(pid int, config string) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(args), config)
}

func parentIsNotSmbd(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	f := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
	name, _ := os.ReadFile("/proc/" + f[1] + "/comm")
	return !strings.HasPrefix(string(name), "smbd")
}

// TestPlainUser runs the agent, and so smbd, as a user without any rights.
func TestPlainUser(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const nobody = 65534
	r.c.Instance.ForceUser = "nobody"
	base := filepath.Dir(r.c.Instance.Dir)
	h := helper{StateDir: r.c.StateDir, Instance: r.c.Instance, Server: filepath.Join(base, "server")}
	if err := os.RemoveAll(r.c.Instance.Dir); err != nil { // root had made it
		t.Fatal(err)
	}
	if err := os.Mkdir(h.Server, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{base, h.Server, r.c.Instance.ShareRoots[0]} {
		if err := os.Chown(d, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	r.snap.Revision.Number++
	r.snap.Shares = []desired.Share{share("data")}
	if err := os.WriteFile(filepath.Join(h.Server, "snapshot.json"), marshal(r.snap), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(base, "agent.test") // the test binary itself may lie where only root goes
	copyFile(t, "/proc/self/exe", exe)
	var cmd *exec.Cmd
	eventually(t, "no other test's child, forked just now, holds the program open for writing", func() bool {
		cmd = exec.Command(exe)
		cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{"PATH=/usr/bin:/bin", "USER=nobody", asAgent + "=" + string(text)}, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		err := cmd.Start()
		if err != nil && !errors.Is(err, syscall.ETXTBSY) {
			t.Fatal(err)
		}
		return err == nil
	})
	defer func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }()
	report := func() *desired.Report {
		rep := new(desired.Report)
		raw, err := os.ReadFile(filepath.Join(h.Server, "report.json"))
		if err == nil {
			err = json.Unmarshal(raw, rep)
		}
		if err != nil {
			return new(desired.Report)
		}
		return rep
	}
	publish := func() {
		t.Helper()
		r.snap.Revision.Number++
		if err := replaceFile(filepath.Join(h.Server, "snapshot.json"), marshal(r.snap)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(h.Server, "snapshot.json"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if t.Failed() {
			text, _ := json.MarshalIndent(report(), "", " ")
			t.Logf("last report\n%s", text)
		}
	}()
	eventually(t, "ready", func() bool { return ready("s-data", 1)(report()) })
	if err := r.write("data", "hello.txt", "hello"); err != nil {
		t.Fatal(err)
	}
	// Narrowing and removing close what clients have open, which talks to smbd.
	r.snap.Shares[0].ReadOnly, r.snap.Shares[0].Generation = true, 2
	publish()
	eventually(t, "read-only", func() bool { return ready("s-data", 2)(report()) })
	r.snap.Shares = nil
	publish()
	eventually(t, "gone", func() bool {
		rep := report()
		return rep.Revision == r.snap.Revision && find(rep, "s-data") == nil && len(rep.Held) == 0 &&
			object.Is(rep.Node.Conditions, object.Applied, object.True)
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
