package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

const nodeUID = "node-1"

// cable is a link whose server the test plays, with the faults that a network has.
type cable struct {
	nudges chan link.Nudge

	mu      sync.Mutex
	raw     []byte // what the server has; nil: nothing yet
	offline bool
	stuck   bool // fetches hang until their context ends
	deaf    bool // nudges are lost
	reports []*desired.Report
}

func newCable() *cable { return &cable{nudges: make(chan link.Nudge, 1)} }

func (c *cable) Run(ctx context.Context)   { <-ctx.Done() }
func (c *cable) Identity() link.Identity   { return link.Identity{NodeUID: nodeUID} }
func (c *cable) Nudges() <-chan link.Nudge { return c.nudges }
func (c *cable) SendReport(r *desired.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports = append(c.reports, r)
}

func (c *cable) FetchSnapshot(ctx context.Context, have desired.Revision) (*link.Fetched, error) {
	c.mu.Lock()
	raw, offline, stuck := c.raw, c.offline, c.stuck
	c.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if offline || raw == nil {
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

// publish is a change at the server.
func (c *cable) publish(s desired.Snapshot) {
	raw := marshal(s)
	c.mu.Lock()
	c.raw = raw
	deaf := c.deaf || c.offline
	c.mu.Unlock()
	if !deaf {
		c.nudge(s.Revision)
	}
}

func (c *cable) nudge(r desired.Revision) {
	select {
	case <-c.nudges:
	default:
	}
	select {
	case c.nudges <- link.Nudge{Revision: r, RequestID: "request-" + r.String()}:
	default:
	}
}

func (c *cable) set(edit func(c *cable)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit(c)
}

func (c *cable) last() *desired.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reports) == 0 {
		return &desired.Report{}
	}
	return c.reports[len(c.reports)-1]
}

func marshal(s desired.Snapshot) []byte {
	s.Format, s.NodeUID = desired.FormatVersion, nodeUID
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return raw
}

// rig is an agent with a real smbd.
type rig struct {
	t     *testing.T
	c     Config
	cable *cable
	snap  desired.Snapshot
	stop  func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	inst := sambatest.New(t)
	r := &rig{t: t, cable: newCable(), stop: func() {}}
	r.c = Config{StateDir: filepath.Join(inst.Dir, "..", "agent"), Instance: *inst, Version: "test", Link: r.cable,
		PassEvery: 300 * time.Millisecond, ProbeEvery: 2 * time.Second,
		Smbd: smbdproc.Options{BackoffMin: 50 * time.Millisecond, RetryAfter: 50 * time.Millisecond}}
	r.snap.Revision.Epoch = "e1"
	r.snap.Users = []desired.User{{UID: "u-alice", Name: "alice", Generation: 1, ID: desired.FirstUserID, Enabled: true, NTHash: nthash.Sum("secret")}}
	t.Cleanup(func() {
		r.stop()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := smbdproc.Stop(ctx, inst); err != nil {
			t.Error(err)
		}
		if left := mentions(t, filepath.Dir(inst.Dir)); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
	return r
}

// mentions returns the processes, except this one, that have dir in their arguments or environment.
func mentions(t *testing.T, dir string) (out []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	self := fmt.Sprintf("/proc/%d/environ", os.Getpid())
	for _, f := range files {
		env, _ := os.ReadFile(f)
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if f != self && bytes.Contains(append(env, args...), []byte(dir+"/")) {
			out = append(out, filepath.Base(filepath.Dir(f))+" "+string(bytes.ReplaceAll(args, []byte{0}, []byte(" "))))
		}
	}
	return out
}

// start runs the agent until stop.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, r.c) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("agent: %v", err)
		}
		r.stop = func() {}
	}
}

// publish gives the server's content the next revision and tells the agent.
func (r *rig) publish(edit func(s *desired.Snapshot)) desired.Revision {
	if edit != nil {
		edit(&r.snap)
	}
	r.snap.Revision.Number++
	r.cable.publish(r.snap)
	return r.snap.Revision
}

func share(name string) desired.Share {
	return desired.Share{UID: "s-" + name, Name: name, Generation: 1, CreatePath: true, Browseable: true, ValidUsers: []string{"alice"}}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// reported waits for a report that satisfies ok.
func (r *rig) reported(what string, ok func(*desired.Report) bool) *desired.Report {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		last := r.cable.last()
		if ok(last) {
			return last
		}
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(last, "", " ")
			r.t.Fatalf("not reported within 30 s: %s; last report\n%s", what, text)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func find(r *desired.Report, uid string) *desired.ObjectReport {
	if i := slices.IndexFunc(r.Objects, func(o desired.ObjectReport) bool { return o.UID == uid }); i >= 0 {
		return &r.Objects[i]
	}
	return nil
}

func ready(uid string, generation int64) func(*desired.Report) bool {
	return func(r *desired.Report) bool {
		o := find(r, uid)
		return o != nil && o.ObservedGeneration == generation && object.Is(o.Conditions, object.Ready, object.True) &&
			o.Receipt != nil && o.Receipt.Passed && o.Receipt.Generation == generation
	}
}

func notReady(uid, reason string) func(*desired.Report) bool {
	return func(r *desired.Report) bool {
		o := find(r, uid)
		if o == nil {
			return false
		}
		c := object.Find(o.Conditions, object.Ready)
		return c != nil && c.Status == object.False && c.Reason == reason
	}
}

func nodeCondition(typ string, s object.Status, reason string) func(*desired.Report) bool {
	return func(r *desired.Report) bool {
		c := object.Find(r.Node.Conditions, typ)
		return c != nil && c.Status == s && c.Reason == reason
	}
}

// client logs in as alice and connects to a share.
func client(inst *samba.Instance, share string) (*smb2.Session, *smb2.Share, error) {
	hash, _ := hex.DecodeString(nthash.Sum("secret"))
	d := smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: "alice", Hash: hash}}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := d.Dial(ctx, smbdproc.Address(inst))
	if err != nil {
		return nil, nil, err
	}
	sh, err := s.Mount(share)
	if err != nil {
		_ = s.Logoff()
		return nil, nil, err
	}
	return s, sh, nil
}

// write writes a file by SMB.
func (r *rig) write(share, file, text string) error {
	s, sh, err := client(&r.c.Instance, share)
	if err != nil {
		return err
	}
	defer func() { _ = s.Logoff() }()
	return sh.WriteFile(file, []byte(text), 0o600)
}

func fileSum(t *testing.T, files ...string) string {
	t.Helper()
	h := sha256.New()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		st, _ := os.Stat(f)
		h.Write(b)
		if st != nil {
			fmt.Fprint(h, st.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
