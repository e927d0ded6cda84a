package link_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/link/linktest"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// quick are options with which a test does not have to wait long. ProbeFor is generous: the machine may be busy.
var quick = link.Options{
	PingEvery: 50 * time.Millisecond, DeadAfter: 2 * time.Second, ProbeFor: 500 * time.Millisecond,
	FencedRetry: 200 * time.Millisecond, Quarrel: time.Second,
}

type bench struct {
	*linktest.Served
	*linktest.Memory
}

func start(t *testing.T, o link.Options) bench {
	t.Helper()
	now := clock.System.Now
	if o.Clock != nil {
		now = o.Clock.Now
	}
	m := linktest.NewMemory(now)
	return bench{linktest.Serve(t, m, m, o), m}
}

// enrol makes a new machine the node name and returns its identity directory.
func (b bench) enrol(t *testing.T, name string) (dir string, id *link.Identity) {
	t.Helper()
	token, err := b.NewToken(t.Context(), name, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "identity")
	id, err = link.Enrol(t.Context(), b.request(dir, token))
	if err != nil {
		t.Fatal(err)
	}
	return dir, id
}

func (b bench) request(dir, token string) link.EnrolRequest {
	return link.EnrolRequest{Dir: dir, Server: b.URL, Fingerprint: b.CA.Fingerprint(), Token: secret.NewString(token), Facts: link.Facts{Hostname: "host"}}
}

type agent struct {
	*link.Client
	stop func()
}

// run starts an agent; it is stopped at the end of the test or by stop.
func run(t *testing.T, dir string, edit func(o *link.ClientOptions)) agent {
	t.Helper()
	o := link.ClientOptions{
		Facts:      link.Facts{Hostname: filepath.Base(filepath.Dir(dir))},
		BackoffMin: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond, CallTimeout: time.Minute,
	}
	if edit != nil {
		edit(&o)
	}
	c, err := link.NewClient(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return agent{c, stop}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("this never came: %s", what)
		}
	}
}

func (a agent) wait(t *testing.T, s link.State) {
	t.Helper()
	eventually(t, "agent "+string(s), func() bool { return a.Status().State == s })
}

func (b bench) node(t *testing.T, uid string) linktest.Node {
	t.Helper()
	n, ok := b.Node(uid)
	if !ok {
		t.Fatalf("node %s is gone", uid)
	}
	return n
}

// copyDir copies an identity, also one that is in use.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{"identity.json", "link-epoch"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	fake := clock.NewFake(time.Now())
	o := quick
	o.Clock = fake
	b := start(t, o)
	ctx := t.Context()
	token, err := b.NewToken(ctx, "alpha", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()

	wrong := b.request(dir, token)
	wrong.Fingerprint = "SHA256:" + strings.Repeat("A", 43)
	if _, err := link.Enrol(ctx, wrong); !errors.Is(err, pki.ErrFingerprint) {
		t.Fatalf("wrong fingerprint: %v", err)
	}
	for _, server := range []string{"", "http://127.0.0.1:1", "https://", "https://u:p@h", "https://h/path", "127.0.0.1:8443"} {
		r := b.request(dir, token)
		r.Server = server
		if _, err := link.Enrol(ctx, r); err == nil {
			t.Errorf("server %q was accepted", server)
		}
	}
	id, err := link.Enrol(ctx, b.request(dir, token))
	if err != nil {
		t.Fatal(err)
	}
	if n := b.node(t, id.NodeUID); n.Name != "alpha" || id.NodeName != "alpha" {
		t.Errorf("enrolled as %q, %q", n.Name, id.NodeName)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("identity files %v, %v", files, err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
	if _, err := link.Enrol(ctx, b.request(t.TempDir(), token)); !problem.Is(err, "node.token_invalid") {
		t.Errorf("used token: %v", err)
	}
	if _, err := link.Enrol(ctx, b.request(t.TempDir(), "nonsense")); !problem.Is(err, "node.token_invalid") {
		t.Errorf("unknown token: %v", err)
	}
	late, err := b.NewToken(ctx, "beta", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	fake.Advance(2 * time.Minute)
	if _, err := link.Enrol(ctx, b.request(t.TempDir(), late)); !problem.Is(err, "node.token_invalid") {
		t.Errorf("expired token: %v", err)
	}
}

// The answer to an enrolment is lost: with the same directory the same token works again, and makes no second node.
func TestEnrolAgainAfterLostAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	token, err := b.NewToken(t.Context(), "alpha", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "identity")
	// The identity cannot be written over a directory of its name.
	if err := os.MkdirAll(filepath.Join(dir, "identity.json", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Enrol(t.Context(), b.request(dir, token)); err == nil {
		t.Fatal("enrolled without storing the identity")
	}
	if err := os.RemoveAll(filepath.Join(dir, "identity.json")); err != nil {
		t.Fatal(err)
	}
	id, err := link.Enrol(t.Context(), b.request(dir, token))
	if err != nil {
		t.Fatal(err)
	}
	if id.NodeName != "alpha" {
		t.Errorf("enrolled as %q", id.NodeName)
	}
	run(t, dir, nil).wait(t, link.StateAttached)
}

func TestNotEnrolled(t *testing.T) {
	t.Parallel()
	if _, err := link.NewClient(t.TempDir(), link.ClientOptions{}); !errors.Is(err, link.ErrNotEnrolled) {
		t.Errorf("empty directory: %v", err)
	}
	b := start(t, quick)
	dir, _ := b.enrol(t, "alpha")
	path := filepath.Join(dir, "identity.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range 20 {
		if err := os.WriteFile(path, raw[:len(raw)*cut/20], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := link.NewClient(dir, link.ClientOptions{}); err == nil {
			t.Errorf("an identity cut to %d/20 was accepted", cut)
		}
	}
}

func TestSnapshotAndReport(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	first := <-a.Nudges()
	ctx := t.Context()
	f, err := a.FetchSnapshot(ctx, desired.Revision{})
	if err != nil || f.Snapshot == nil || f.Snapshot.Revision != first.Revision {
		t.Fatalf("%+v, %v; nudged for %v", f, err, first.Revision)
	}
	have := f.Snapshot.Revision
	if f, err := a.FetchSnapshot(ctx, have); err != nil || f.Snapshot != nil {
		t.Errorf("nothing has changed, but got %+v, %v", f, err)
	}
	rev := b.SetSnapshot(id.NodeUID, func(s *desired.Snapshot) {
		s.Shares = []desired.Share{{UID: "u", Name: "docs", Generation: 1, Parameters: map[string]string{"b": "1", "a": "2"}}}
	})
	b.Nudge(id.NodeUID, rev, "request-1")
	if n := <-a.Nudges(); n.Revision != rev || n.RequestID != "request-1" {
		t.Errorf("nudge %+v, want %v", n, rev)
	}
	f, err = a.FetchSnapshot(ctx, have)
	if err != nil || f.Snapshot == nil || len(f.Snapshot.Shares) != 1 || f.Snapshot.Revision != rev {
		t.Fatalf("%+v, %v", f, err)
	}
	if again, err := json.Marshal(f.Snapshot); err != nil || !bytes.Equal(again, f.Raw) {
		t.Errorf("the payload is not the canonical JSON of the snapshot: %s", f.Raw)
	}

	for i := range 20 {
		a.SendReport(&desired.Report{NodeUID: id.NodeUID, Revision: desired.Revision{Epoch: "e1", Number: int64(i)}})
	}
	eventually(t, "the last report", func() bool {
		r := b.node(t, id.NodeUID).Reports
		return len(r) > 0 && r[len(r)-1].Revision.Number == 19
	})
	// A report in another node's name is refused, and does not keep later ones back.
	a.SendReport(&desired.Report{NodeUID: "someone else"})
	time.Sleep(50 * time.Millisecond)
	a.SendReport(&desired.Report{NodeUID: id.NodeUID, Revision: desired.Revision{Epoch: "e1", Number: 99}})
	eventually(t, "a report after a refused one", func() bool {
		r := b.node(t, id.NodeUID).Reports
		return r[len(r)-1].Revision.Number == 99
	})
}

// A report that is handed over while the server is away arrives when it is back.
func TestReconnect(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	epoch := b.node(t, id.NodeUID).LinkEpoch
	<-a.Nudges()
	b.Close()
	a.wait(t, link.StateOffline)
	if _, err := a.FetchSnapshot(t.Context(), desired.Revision{}); !errors.Is(err, link.ErrOffline) {
		t.Errorf("fetch while offline: %v", err)
	}
	a.SendReport(&desired.Report{NodeUID: id.NodeUID})
	b.Again(t, b.Memory, b.Memory, quick)
	a.wait(t, link.StateAttached)
	<-a.Nudges() // after each attach
	eventually(t, "the report", func() bool { return len(b.node(t, id.NodeUID).Reports) == 1 })
	n := b.node(t, id.NodeUID)
	if n.LinkEpoch <= epoch || n.Restored || !n.Online {
		t.Errorf("after the reconnect: %+v, link epoch before %d", n, epoch)
	}
}

func TestNudgesCoalesce(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	var last desired.Revision
	for range 1000 {
		last = b.SetSnapshot(id.NodeUID, nil)
		b.Nudge(id.NodeUID, last, "")
	}
	got := 0
	eventually(t, "the newest nudge", func() bool {
		select {
		case n := <-a.Nudges():
			got++
			return n.Revision == last
		default:
			return false
		}
	})
	if got > 900 {
		t.Errorf("%d of 1000 nudges came one by one", got)
	}
}

func TestCloneIsFenced(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	clone := run(t, copyDir(t, dir), nil)
	clone.wait(t, link.StateFenced)
	n := b.node(t, id.NodeUID)
	if len(n.Fencings) == 0 || n.Fencings[0].HolderAddr == "" || n.Fencings[0].NewcomerAddr == "" {
		t.Fatalf("fencing %+v", n.Fencings)
	}
	if s := clone.Status(); !strings.Contains(s.Reason, "new token") {
		t.Errorf("the clone is told %q", s.Reason)
	}
	if _, err := clone.FetchSnapshot(t.Context(), desired.Revision{}); !errors.Is(err, link.ErrOffline) {
		t.Errorf("the clone fetches: %v", err)
	}
	if s := a.Status(); s.State != link.StateAttached || b.node(t, id.NodeUID).LinkEpoch != n.LinkEpoch {
		t.Errorf("the original suffered: %+v", s)
	}
	// The original restarts: the clone, with its older link epoch, does not get in between.
	a.stop()
	b2 := run(t, dir, nil)
	b2.wait(t, link.StateAttached)
	fencings := len(b.node(t, id.NodeUID).Fencings)
	eventually(t, "the clone fenced again", func() bool { return len(b.node(t, id.NodeUID).Fencings) > fencings })
	// The clone goes, and some time later the fencing is taken back.
	clone.stop()
	unfenced := b.node(t, id.NodeUID).Unfenced
	eventually(t, "fencing taken back", func() bool { return b.node(t, id.NodeUID).Unfenced > unfenced })
	if s := b2.Status(); s.State != link.StateAttached {
		t.Errorf("the original is %+v", s)
	}
}

// A clone that knows the lease of the holder's time still cannot report: its own attach is what counts.
func TestLeaseOfAnotherTime(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	b.Disconnect(id.NodeUID)
	eventually(t, "reattach", func() bool { return b.node(t, id.NodeUID).LinkEpoch >= 2 && a.Status().State == link.StateAttached })
	if n := b.node(t, id.NodeUID); n.Restored || len(n.Fencings) > 0 {
		t.Errorf("%+v", n)
	}
}

func TestHalfOpenIsTakenOver(t *testing.T) {
	t.Parallel()
	o := quick
	o.DeadAfter = time.Minute // so that the probe and not the time-out ends the old link
	b := start(t, o)
	cable := linktest.NewCable(t, strings.TrimPrefix(b.URL, "https://"))
	direct := b.URL
	b.URL = "https://" + cable.Addr
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	cable.Pull()
	// The machine reboots on another network: same disk, other way to the server.
	moved := copyDir(t, dir)
	raw, err := os.ReadFile(filepath.Join(moved, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("https://"+cable.Addr), []byte(direct))
	if err := os.WriteFile(filepath.Join(moved, "identity.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	taker := run(t, moved, nil)
	taker.wait(t, link.StateAttached)
	if n := b.node(t, id.NodeUID); len(n.Fencings) > 0 || !n.Online {
		t.Errorf("%+v", n)
	}
	cable.Plug()
	a.wait(t, link.StateFenced)
}

func TestCablePulledAndPutBack(t *testing.T) {
	t.Parallel()
	o := quick
	o.DeadAfter = 500 * time.Millisecond
	b := start(t, o)
	cable := linktest.NewCable(t, strings.TrimPrefix(b.URL, "https://"))
	b.URL = "https://" + cable.Addr
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, func(o *link.ClientOptions) { o.CallTimeout = time.Second })
	a.wait(t, link.StateAttached)
	cable.Pull()
	a.wait(t, link.StateOffline)
	eventually(t, "node offline", func() bool { return !b.node(t, id.NodeUID).Online })
	cable.Plug()
	a.wait(t, link.StateAttached)
	eventually(t, "node online", func() bool { n := b.node(t, id.NodeUID); return n.Online && !n.Restored })
}

func TestRestoredCopy(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	old := copyDir(t, dir)
	for range 3 {
		a := run(t, dir, nil)
		a.wait(t, link.StateAttached)
		a.stop()
		eventually(t, "node offline", func() bool { return !b.node(t, id.NodeUID).Online })
	}
	restored := run(t, old, nil)
	restored.wait(t, link.StateAttached)
	if n := b.node(t, id.NodeUID); !n.Restored || n.LinkEpoch < 4 {
		t.Errorf("%+v", n)
	}
	// Now the other one is the stale one.
	run(t, dir, nil).wait(t, link.StateFenced)
}

func TestControlPlaneRestored(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, func(o *link.ClientOptions) {
		o.Applied = func() desired.Revision { return desired.Revision{Epoch: "e1", Number: 1000} }
	})
	a.wait(t, link.StateAttached)
	n := b.node(t, id.NodeUID)
	if len(n.Behind) != 1 || n.Behind[0].Number != 1000 {
		t.Fatalf("the store was told %+v", n.Behind)
	}
	f, err := a.FetchSnapshot(t.Context(), desired.Revision{Epoch: "e1", Number: 1000})
	if err != nil || f.Snapshot == nil || f.Snapshot.Revision.Epoch == "e1" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestRenew(t *testing.T) {
	t.Parallel()
	fake := clock.NewFake(time.Now())
	o := quick
	o.Clock = fake
	b := start(t, o)
	dir, _ := b.enrol(t, "alpha")
	edit := func(o *link.ClientOptions) { o.Clock, o.RenewEvery = fake, 10*time.Millisecond }
	a := run(t, dir, edit)
	a.wait(t, link.StateAttached)
	before := a.Identity().Cert
	time.Sleep(50 * time.Millisecond)
	if !a.Identity().Cert.Equal(before) {
		t.Error("renewed too early")
	}
	for range 4 { // a year, in which the first certificate and the server's expire
		fake.Advance(pki.AgentLife*2/3 + time.Hour)
		eventually(t, "renewal", func() bool { return !a.Identity().Cert.Equal(before) })
		before = a.Identity().Cert
	}
	a.wait(t, link.StateAttached)
	stored, err := link.LoadIdentity(dir)
	if err != nil || !stored.Cert.Equal(before) {
		t.Errorf("the renewed certificate is not on disk: %v", err)
	}
	a.stop()
	run(t, dir, edit).wait(t, link.StateAttached)
}

func TestExpiredCertificate(t *testing.T) {
	t.Parallel()
	fake := clock.NewFake(time.Now())
	o := quick
	o.Clock = fake
	b := start(t, o)
	dir, _ := b.enrol(t, "alpha")
	fake.Advance(pki.AgentLife + time.Hour)
	a := run(t, dir, func(o *link.ClientOptions) { o.Clock = fake })
	a.wait(t, link.StateRefused)
	if s := a.Status(); !strings.Contains(s.Reason, "Enrol") {
		t.Errorf("told %q", s.Reason)
	}
}

func TestDeletedNodeIsRefusedAndEnrolsAgain(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	if err := b.Delete(t.Context(), id.NodeUID); err != nil {
		t.Fatal(err)
	}
	b.Disconnect(id.NodeUID)
	a.wait(t, link.StateRefused)
	a.stop()
	token, err := b.NewToken(t.Context(), "alpha", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, err := link.Enrol(t.Context(), b.request(dir, token))
	if err != nil || again.NodeUID == id.NodeUID {
		t.Fatalf("%+v, %v", again, err)
	}
	run(t, dir, nil).wait(t, link.StateAttached)
}

// A node that is enrolled anew has a new key; the identity it had before is void.
func TestEnrolledAnewVoidsTheOldIdentity(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	dir, id := b.enrol(t, "alpha")
	newDir, again := b.enrol(t, "alpha")
	if again.NodeUID != id.NodeUID {
		t.Fatalf("%s became %s", id.NodeUID, again.NodeUID)
	}
	run(t, dir, nil).wait(t, link.StateRefused)
	run(t, newDir, nil).wait(t, link.StateAttached)
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	b := start(t, quick)
	other := start(t, quick)
	dir, _ := other.enrol(t, "alpha")
	raw, err := os.ReadFile(filepath.Join(dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte(other.URL), []byte(b.URL))
	if err := os.WriteFile(filepath.Join(dir, "identity.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	a := run(t, dir, nil)
	eventually(t, "the agent does not trust a server of another CA", func() bool {
		s := a.Status()
		return s.State == link.StateOffline && strings.Contains(s.Reason, "certificate")
	})
}

func TestFiftyAgents(t *testing.T) {
	t.Parallel()
	o := quick
	o.PingEvery, o.DeadAfter = time.Second, 10*time.Second
	b := start(t, o)
	const n = 50
	agents := make([]agent, n)
	uids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		dir, id := b.enrol(t, fmt.Sprintf("node%d", i))
		uids[i] = id.NodeUID
		agents[i] = run(t, dir, nil)
	}
	for i := range n {
		wg.Go(func() {
			agents[i].wait(t, link.StateAttached)
			for k := range 10 {
				rev := b.SetSnapshot(uids[i], nil)
				b.Nudge(uids[i], rev, "")
				for (<-agents[i].Nudges()).Revision != rev {
				}
				if f, err := agents[i].FetchSnapshot(t.Context(), desired.Revision{}); err != nil || f.Snapshot.Revision != rev {
					t.Errorf("node%d: %v", i, err)
				}
				agents[i].SendReport(&desired.Report{NodeUID: uids[i], Revision: desired.Revision{Number: int64(k)}})
			}
		})
	}
	wg.Wait()
	if got := len(b.Server.Attached()); got != n {
		t.Errorf("%d attached", got)
	}
	for i := range n {
		eventually(t, "the last report", func() bool {
			r := b.node(t, uids[i]).Reports
			return len(r) > 0 && r[len(r)-1].Revision.Number == 9
		})
	}
}

// An idle agent stops at once, not at the next ping.
func TestStopIsPrompt(t *testing.T) {
	t.Parallel()
	o := quick
	o.PingEvery, o.DeadAfter = 10*time.Second, 30*time.Second
	b := start(t, o)
	dir, id := b.enrol(t, "alpha")
	a := run(t, dir, nil)
	a.wait(t, link.StateAttached)
	began := time.Now()
	a.stop()
	eventually(t, "node offline", func() bool { return !b.node(t, id.NodeUID).Online })
	if took := time.Since(began); took >= o.PingEvery {
		t.Errorf("took %v", took)
	}
}
