package probe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

// bench is a real smbd that serves a snapshot.
type bench struct {
	t      testing.TB
	inst   *samba.Instance
	driver *registry.Driver
	snap   desired.Snapshot
	prober *Prober
	paths  map[string]string // by share
}

var strangerHash = nthash.Sum("only for this test")

func newBench(t testing.TB) *bench {
	t.Helper()
	inst := sambatest.New(t)
	sambatest.Start(t, inst)
	b := &bench{t: t, inst: inst, driver: registry.New(inst), paths: map[string]string{}}
	b.snap.Revision = desired.Revision{Epoch: "e", Number: 1}
	for n, name := range []string{"alice", "bob", "carol"} {
		b.snap.Users = append(b.snap.Users, desired.User{UID: name, Name: name, Generation: 1, ID: desired.FirstUserID + n, Enabled: true, NTHash: nthash.Sum(name)})
	}
	b.snap.Users = append(b.snap.Users, desired.User{UID: "off", Name: "off", Generation: 1, ID: desired.FirstUserID + 9, NTHash: nthash.Sum("off")})
	b.snap.Groups = []desired.Group{{UID: "g", Name: "staff", Generation: 1, ID: desired.FirstGroupID, Members: []string{"carol"}}}
	b.prober = New(Options{Addr: smbdproc.Address(inst), StrangerHash: strangerHash, Mark: "test"})
	t.Cleanup(b.prober.Close)
	return b
}

// apply makes smbd serve the shares.
func (b *bench) apply(shares ...desired.Share) {
	b.t.Helper()
	b.snap.Shares = shares
	for i := range shares {
		shares[i].UID, shares[i].Generation, shares[i].CreatePath = "uid-"+shares[i].Name, 1, true
	}
	node := reconcile.Node{ShareRoots: b.inst.ShareRoots, StrangerHash: strangerHash}
	r, err := reconcile.Pass(b.t.Context(), b.driver, &b.snap, reconcile.Options{Node: node})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range r.Outcomes {
		if o.Problem != nil {
			b.t.Fatalf("%s: %+v", o.Name, o.Problem)
		}
		if o.Kind == desired.KindShare {
			b.paths[o.Name] = o.Path
		}
	}
	b.prober.Renew()
}

func (b *bench) probe(s desired.Share) desired.Receipt {
	b.t.Helper()
	r := b.prober.Probe(b.t.Context(), s, b.paths[s.Name], NewPrincipals(&b.snap, nil))
	for _, e := range b.files(s) {
		b.t.Errorf("%s: the probe left %s", s.Name, e)
	}
	return r
}

func (b *bench) files(s desired.Share) (left []string) {
	entries, err := os.ReadDir(b.paths[s.Name])
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filePrefix) {
			left = append(left, e.Name())
		}
	}
	return left
}

// told is a receipt in one line: the checks, failed ones with their status.
func told(r desired.Receipt) string {
	var words []string
	for _, c := range r.Checks {
		w := c.Name
		if c.As != "" {
			w += "(" + c.As + ")"
		}
		if !c.OK {
			w += "!" + c.Status
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

func TestPromises(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	all := []struct {
		share desired.Share
		want  string
	}{
		{desired.Share{Name: "open"}, "connect(alice) list(alice) write(alice) readBack(alice) delete(alice) anonymousRefused(anonymous)"},
		{desired.Share{Name: "bobs", ValidUsers: []string{"bob"}}, "connect(bob) list(bob) write(bob) readBack(bob) delete(bob) strangerRefused(smbgw-stranger) anonymousRefused(anonymous)"},
		{desired.Share{Name: "group", ValidUsers: []string{"@staff"}}, "connect(carol) list(carol) write(carol) readBack(carol) delete(carol) strangerRefused(smbgw-stranger) anonymousRefused(anonymous)"},
		{desired.Share{Name: "read", ReadOnly: true, ValidUsers: []string{"bob"}}, "connect(bob) list(bob) readOnlyRefused(bob) strangerRefused(smbgw-stranger) anonymousRefused(anonymous)"},
		{desired.Share{Name: "readwrite", ReadOnly: true, WriteList: []string{"bob"}}, "connect(bob) list(bob) write(bob) readBack(bob) delete(bob) readOnlyRefused(alice) anonymousRefused(anonymous)"},
		{desired.Share{Name: "readlist", ReadList: []string{"alice", "@staff"}}, "connect(bob) list(bob) write(bob) readBack(bob) delete(bob) readOnlyRefused(alice) anonymousRefused(anonymous)"},
	}
	var shares []desired.Share
	for _, c := range all {
		shares = append(shares, c.share)
	}
	b.apply(shares...)
	for i, c := range all {
		r := b.probe(shares[i])
		if got := told(r); got != c.want || !r.Passed {
			t.Errorf("%s: passed %v\n got %s\nwant %s\n%+v", c.share.Name, r.Passed, got, c.want, r.Checks)
		}
		ready, reachable := Conditions(r, b.paths[c.share.Name], desired.OwnerName)
		if ready.Status != object.True || reachable.Status != object.True || ready.ObservedGeneration != 1 {
			t.Errorf("%s: %+v %+v", c.share.Name, ready, reachable)
		}
		if r.Dialect != "SMB 3.1.1" {
			t.Errorf("dialect %q", r.Dialect)
		}
	}
}

// TestBrokenPromises breaks each promise behind the spec's back, and wants the probe to see it.
func TestBrokenPromises(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	only := []string{"bob"}
	cases := []struct {
		name   string
		share  desired.Share
		params map[string]string // set in the section by hand
		spoil  func(path string) error
		reason string
	}{
		{name: "stranger", share: desired.Share{ValidUsers: only}, params: map[string]string{"valid users": ""}, reason: "probe.stranger_admitted"},
		{name: "readonly", share: desired.Share{ValidUsers: only, ReadOnly: true}, params: map[string]string{"read only": "no"}, reason: "probe.read_only_not_kept"},
		{name: "shutout", share: desired.Share{ValidUsers: only}, params: map[string]string{"valid users": "alice"}, reason: "probe.access_denied"},
		{name: "nowrite", share: desired.Share{ValidUsers: only}, params: map[string]string{"read only": "yes"}, reason: "probe.access_denied"},
		{name: "gone", share: desired.Share{ValidUsers: only}, spoil: os.Remove, reason: "probe.share_missing"},
		{name: "notours", share: desired.Share{ValidUsers: only}, spoil: func(p string) error {
			return os.Chown(p, 0, 0)
		}, reason: "probe.access_denied"},
		{name: "unavailable", share: desired.Share{ValidUsers: only}, params: map[string]string{"available": "no"}, reason: "probe.share_missing"},
		{name: "guest", share: desired.Share{ValidUsers: nil}, params: map[string]string{"guest ok": "yes"}, reason: "probe.anonymous_admitted"},
		{name: "nobody", share: desired.Share{ValidUsers: []string{"off"}}, reason: "share.nobody_allowed"},
		{name: "nogroup", share: desired.Share{ValidUsers: []string{"@empty"}}, reason: "share.nobody_allowed"},
	}
	var shares []desired.Share
	for _, c := range cases {
		c.share.Name = c.name
		shares = append(shares, c.share)
	}
	b.snap.Groups = append(b.snap.Groups, desired.Group{UID: "e", Name: "empty", Generation: 1, ID: desired.FirstGroupID + 1})
	b.apply(shares...)
	for i, c := range cases {
		for k, v := range c.params {
			if _, err := b.inst.Run(t.Context(), nil, "net", "conf", "setparm", c.name, k, v); err != nil {
				t.Fatal(err)
			}
		}
		if c.spoil != nil {
			if err := c.spoil(b.paths[c.name]); err != nil {
				t.Fatal(err)
			}
		}
		b.prober.Renew()
		r := b.probe(shares[i])
		ready, _ := Conditions(r, b.paths[c.name], desired.OwnerName)
		if r.Passed || ready.Status != object.False || ready.Reason != c.reason {
			t.Errorf("%s: %s, want %s; %s", c.name, ready.Reason, c.reason, told(r))
		}
		t.Log(c.name, ready.Message)
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	inst := sambatest.New(t)
	p := New(Options{Addr: smbdproc.Address(inst), StrangerHash: strangerHash, Mark: "test"})
	snap := desired.Snapshot{Users: []desired.User{{Name: "alice", Enabled: true, NTHash: strangerHash}}}
	r := p.Probe(t.Context(), desired.Share{Name: "x"}, "", NewPrincipals(&snap, nil))
	ready, reachable := Conditions(r, "", "")
	if ready.Reason != "probe.connection_refused" || reachable.Status != object.False {
		t.Fatalf("%+v", r)
	}
}

func TestUnknownStrangerProvesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := []desired.Share{{Name: "s", ValidUsers: []string{"alice"}}}
	b.apply(s...)
	b.prober = New(Options{Addr: b.prober.o.Addr, StrangerHash: nthash.Sum("wrong"), Mark: "test"})
	r := b.probe(s[0])
	if ready, _ := Conditions(r, "", ""); r.Passed || ready.Reason != "probe.refusal_unproven" {
		t.Fatalf("%s %+v", told(r), ready)
	}
}

// TestLeftovers shows that a file of an earlier, killed agent goes, and that nobody else's does.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := []desired.Share{{Name: "s"}}
	b.apply(s...)
	ours, others := filepath.Join(b.paths["s"], filePrefix+"test-OLD"), filepath.Join(b.paths["s"], filePrefix+"other-OLD")
	for _, f := range []string{ours, others} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.prober.Probe(t.Context(), s[0], b.paths["s"], NewPrincipals(&b.snap, nil))
	if _, err := os.Stat(ours); !os.IsNotExist(err) {
		t.Error("the leftover is still there")
	}
	if _, err := os.Stat(others); err != nil {
		t.Error("somebody else's file is gone")
	}
}

// TestDiskFull uses a tmpfs that is full.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := []desired.Share{{Name: "full"}}
	b.apply(s...)
	if err := unix.Mount("tmpfs", b.paths["full"], "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("a tmpfs has to be mounted for this test, which needs root: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.paths["full"], unix.MNT_DETACH) })
	if err := os.Chmod(b.paths["full"], 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.paths["full"], "ballast"), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.probe(s[0])
	if ready, _ := Conditions(r, "", ""); ready.Reason != "probe.disk_full" {
		t.Fatalf("%s %+v", told(r), ready)
	}
}

// TestSharedSessions shows that probes of many shares cost few logins, and how fast they are.
func TestSharedSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	shares := make([]desired.Share, 50)
	for i := range shares {
		shares[i] = desired.Share{Name: "s" + string(rune('a'+i/26)) + string(rune('a'+i%26)), ValidUsers: []string{"alice"}}
	}
	b.apply(shares...)
	began := time.Now()
	results := make(chan desired.Receipt)
	limit := make(chan struct{}, 4)
	for _, s := range shares {
		go func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			results <- b.prober.Probe(context.Background(), s, b.paths[s.Name], NewPrincipals(&b.snap, nil))
		}()
	}
	for range shares {
		if r := <-results; !r.Passed {
			t.Errorf("%s", told(r))
		}
	}
	t.Logf("%d shares in %v", len(shares), time.Since(began))
}
