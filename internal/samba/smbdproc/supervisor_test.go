package smbdproc

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

// asAgent is set in a helper process that plays an agent which supervises the instance that it holds as JSON.
const asAgent = "SMBGW_TEST_SUPERVISE"

func TestMain(m *testing.M) {
	if text := os.Getenv(asAgent); text != "" {
		var inst samba.Instance
		if err := json.Unmarshal([]byte(text), &inst); err != nil {
			panic(err)
		}
		New(&inst, Options{}).Run(context.Background())
		return
	}
	os.Exit(m.Run())
}

// agent starts a process that supervises inst.
func agent(t *testing.T, inst *samba.Instance) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(inst)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asAgent+"="+string(text))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// instance returns an instance whose processes are gone when the test ends.
func instance(t *testing.T) *samba.Instance {
	t.Helper()
	inst := sambatest.New(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := Stop(ctx, inst); err != nil {
			t.Error(err)
		}
		if left := mentions(t, inst.Dir); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	})
	return inst
}

// mentions returns the processes that have dir in their arguments or environment, found without the code under test.
func mentions(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		env, _ := os.ReadFile(f)
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if f != "/proc/self/environ" && !bytes.Contains(env, []byte(asAgent)) && bytes.Contains(append(env, args...), []byte(dir)) {
			out = append(out, filepath.Base(filepath.Dir(f))+" "+string(bytes.ReplaceAll(args, []byte{0}, []byte(" "))))
		}
	}
	return out
}

// supervise runs a supervisor until the test ends or the returned function is called.
func supervise(t *testing.T, inst *samba.Instance, o Options) (s *Supervisor, leave func()) {
	t.Helper()
	s = New(inst, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	leave = func() { cancel(); <-done }
	t.Cleanup(leave)
	return s, leave
}

// await waits until ok says so of the status.
func await(t *testing.T, s *Supervisor, what string, ok func(Status) bool) Status {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st := s.Status()
		if ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s: %+v %+v", what, st, st.Problem)
		}
	}
}

func running(st Status) bool { return st.State == Running }

func reason(r string) func(Status) bool {
	return func(st Status) bool { return st.Problem != nil && st.Problem.Reason == r }
}

func TestStartAndLeave(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	s, leave := supervise(t, inst, Options{})
	st := await(t, s, "running", running)
	if st.Adopted || st.PID == 0 || st.Problem != nil || time.Since(st.Started) > time.Minute || time.Since(st.Started) < 0 {
		t.Fatalf("%+v", st)
	}
	leave()
	if !accepts(inst) {
		t.Fatal("smbd went with its supervisor")
	}
	again, _ := supervise(t, inst, Options{})
	if got := await(t, again, "running", running); !got.Adopted || got.PID != st.PID {
		t.Fatalf("not adopted: %+v, before it was %+v", got, st)
	}
}

func TestSessionSurvivesKilledAgent(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	hash := account(t, inst)
	first := agent(t, inst)
	for deadline := time.Now().Add(20 * time.Second); !accepts(inst); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("smbd does not come up")
		}
	}
	before, ok, err := main(inst)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	session := login(t, inst, hash)
	share, err := session.Mount("data")
	if err != nil {
		t.Fatal(err)
	}
	f, err := share.Create("open.txt")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatalf("the session is broken: %v", err)
		}
	}
	write("before ")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	write("without ")
	s, _ := supervise(t, inst, Options{})
	if st := await(t, s, "running", running); st.PID != before.pid || !st.Adopted {
		t.Fatalf("%+v, want pid %d", st, before.pid)
	}
	write("after")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := share.ReadFile("open.txt"); err != nil || string(b) != "before without after" {
		t.Fatalf("%q, %v", b, err)
	}
	// An adopted smbd that dies is started again as well.
	if err := syscall.Kill(before.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	st := await(t, s, "running again", func(st Status) bool { return running(st) && st.PID != before.pid })
	if st.Adopted || st.Restarts != 1 || st.Problem == nil || !strings.Contains(st.Problem.Message, "earlier agent") {
		t.Fatalf("%+v %+v", st, st.Problem)
	}
}

func TestLostPIDFile(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	s, leave := supervise(t, inst, Options{})
	st := await(t, s, "running", running)
	leave()
	if err := os.Remove(filepath.Join(inst.PIDDir(), "smbd.pid")); err != nil {
		t.Fatal(err)
	}
	s, leave = supervise(t, inst, Options{})
	if got := await(t, s, "running", running); got.PID != st.PID {
		t.Fatalf("not adopted: %+v, was %d", got, st.PID)
	}
	leave()
	// One that names a stranger is not believed.
	if err := os.WriteFile(filepath.Join(inst.PIDDir(), "smbd.pid"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _ = supervise(t, inst, Options{})
	if got := await(t, s, "running", running); got.PID != st.PID {
		t.Fatalf("not adopted: %+v, was %d", got, st.PID)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	s, _ := supervise(t, inst, Options{BackoffMin: 20 * time.Millisecond, BackoffMax: 100 * time.Millisecond, StableAfter: time.Second})
	old := 0
	for n := range loopAfter {
		st := await(t, s, "running", func(st Status) bool { return running(st) && st.PID != old })
		if n > 0 && !reason("smbd.crashed")(st) {
			t.Fatalf("crash %d is not told: %+v", n, st.Problem)
		}
		old = st.PID
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	st := await(t, s, "a crash loop", reason("smbd.crash_loop"))
	if !strings.Contains(st.Problem.Message, "signal 9") || st.Restarts != loopAfter {
		t.Fatalf("%+v %+v", st, st.Problem)
	}
	await(t, s, "forgotten", func(st Status) bool { return running(st) && st.Problem == nil })
}

// TestReplacedPassdb puts another passdb.tdb in place of the one that smbd has open.
func TestReplacedPassdb(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	account(t, inst)
	s, _ := supervise(t, inst, Options{BackoffMin: 20 * time.Millisecond, RetryAfter: 50 * time.Millisecond})
	st := await(t, s, "running", running)
	time.Sleep(200 * time.Millisecond)
	if s.Status().PID != st.PID {
		t.Fatal("a healthy smbd was restarted")
	}
	b, err := os.ReadFile(inst.PassdbFile())
	if err == nil {
		err = os.WriteFile(inst.PassdbFile()+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(inst.PassdbFile()+".new", inst.PassdbFile())
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, s, "running anew", func(now Status) bool { return running(now) && now.PID != st.PID })
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	l, err := net.Listen("tcp", Address(inst))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s, _ := supervise(t, inst, Options{RetryAfter: 20 * time.Millisecond})
	st := await(t, s, "port_taken", reason("smbd.port_taken"))
	for _, want := range []string{strconv.Itoa(inst.Port), "pid " + strconv.Itoa(os.Getpid())} {
		if !strings.Contains(st.Problem.Message, want) {
			t.Errorf("%q does not name %q", st.Problem.Message, want)
		}
	}
	l.Close()
	await(t, s, "running", func(st Status) bool { return running(st) && st.Problem == nil })
}

func TestAddressMissing(t *testing.T) {
	t.Parallel()
	inst := instance(t)
	inst.Bind = []string{"192.0.2.1"}
	s, _ := supervise(t, inst, Options{RetryAfter: 20 * time.Millisecond})
	await(t, s, "address_missing", reason("smbd.address_missing"))
}

func TestMissing(t *testing.T) {
	inst := instance(t)
	s := New(inst, Options{})
	s.program = func(string) (string, error) { return "", samba.ErrNotInstalled }
	_, p := s.start(t.Context())
	if p == nil || p.Reason != "smbd.missing" || !strings.Contains(p.Message, "apt-get install") {
		t.Fatalf("%+v", p)
	}
}

func TestStopEndsAllOfItAndNothingElse(t *testing.T) {
	t.Parallel()
	inst, other := instance(t), instance(t)
	hash := account(t, inst)
	s, leave := supervise(t, inst, Options{})
	o, _ := supervise(t, other, Options{})
	await(t, s, "running", running)
	kept := await(t, o, "running", running)
	// Listing shares starts samba-dcerpcd and rpcd_classic.
	if _, err := login(t, inst, hash).ListSharenames(); err != nil {
		t.Fatal(err)
	}
	all, err := find(inst)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range all {
		seen[p.program] = true
	}
	if !seen["smbd"] || !seen["samba-dcerpcd"] {
		t.Fatalf("not all found: %+v", all)
	}
	leave()
	began := time.Now()
	if err := Stop(t.Context(), inst); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("Stop took %v: something had to be killed", took)
	}
	if left := mentions(t, inst.Dir); len(left) > 0 {
		t.Fatalf("left: %v", left)
	}
	if st := o.Status(); st.PID != kept.PID || !accepts(other) {
		t.Fatalf("the other instance was touched: %+v", st)
	}
}

// account gives inst a user "alice" and a share "data" and returns the user's NT hash.
func account(t *testing.T, inst *samba.Instance) []byte {
	t.Helper()
	hash := nthash.Sum("secret")
	d := registry.New(inst)
	ctx := t.Context()
	err := d.SyncAccounts(ctx, samba.AccountChange{
		PutUsers: []samba.User{{Name: desired.OwnerName, ID: desired.OwnerID}, {Name: "alice", ID: desired.FirstUserID, NTHash: hash, Enabled: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(inst.ShareRoots[0], "data")
	if err := d.EnsurePath(ctx, path); err != nil {
		t.Fatal(err)
	}
	if err := d.PutSections(ctx, []samba.Section{{Name: "data", ID: "uid-1", Generation: 1, Params: map[string]string{
		"path": path, "read only": "no", "force user": desired.OwnerName}}}); err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func login(t *testing.T, inst *samba.Instance, hash []byte) *smb2.Session {
	t.Helper()
	d := smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: "alice", Hash: hash}}
	session, err := d.Dial(t.Context(), Address(inst))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Logoff() })
	return session
}
