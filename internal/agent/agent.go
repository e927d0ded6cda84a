package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"crypto/rand"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/nthash"
	"github.com/pve-smb-gateway/smbgw/internal/samba/probe"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

// Link is what the agent needs of its link to the server; [link.Client] is the real one.
type Link interface {
	Run(ctx context.Context)
	Identity() link.Identity
	Nudges() <-chan link.Nudge
	FetchSnapshot(ctx context.Context, have desired.Revision) (*link.Fetched, error)
	SendReport(r *desired.Report)
}

// Config says what an agent is. Zero fields get the defaults named.
type Config struct {
	// StateDir is absolute and holds identity, snapshot and lock. One agent at a time may use it.
	StateDir string
	// Instance is the private Samba.
	Instance samba.Instance
	// Version is the program's.
	Version string
	// StopSamba ends smbd and its helpers when the agent ends. Without it clients stay connected while the agent is
	// away, restarted or upgraded.
	StopSamba bool
	// Policy says when removals are held.
	Policy reconcile.Policy
	// PassEvery is how often to look whether all is as it shall be: 60 s.
	PassEvery time.Duration
	// ProbeEvery is how often a share that works is probed, give or take a fifth: 5 min.
	ProbeEvery time.Duration
	Log        *slog.Logger
	Clock      clock.Clock

	// Link replaces the link of the identity in StateDir.
	Link Link
	// Driver replaces the driver of Instance.
	Driver samba.Driver
	// Smbd tunes the supervision of smbd.
	Smbd smbdproc.Options
}

// ErrRunning is wrapped by the error of [Run] if another agent uses the state directory.
var ErrRunning = errors.New("another agent uses this state directory")

// IdentityDir returns where [link.Enrol] has to put the identity of the agent with that state directory.
func IdentityDir(stateDir string) string { return filepath.Join(stateDir, "identity") }

// Run runs the agent until ctx ends. It returns an error if it cannot begin; from then on trouble becomes conditions,
// and it keeps trying.
func Run(ctx context.Context, c Config) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	unlock, err := lock(filepath.Join(c.StateDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	store := openStore(c.StateDir)
	if store.snapshot == nil {
		// A new node. Later a missing root may mean that a disk is not mounted, and is left for people to see.
		for _, root := range c.Instance.ShareRoots {
			if err := os.MkdirAll(root, 0o755); err != nil {
				return fmt.Errorf("agent: share root: %w", err)
			}
		}
	}
	prep := &preparer{inst: &c.Instance}
	if err := c.Instance.WriteConfig(ctx); err != nil {
		return err
	}
	if c.Link == nil {
		c.Link, err = link.NewClient(IdentityDir(c.StateDir), link.ClientOptions{
			Facts:   Facts(c.Version),
			Applied: store.revision, Log: c.Log, Clock: c.Clock,
		})
		if err != nil {
			return err
		}
	}
	// A password that nobody knows, for as long as this process lives.
	strangerHash := nthash.Sum(rand.Text())
	b := newBoard(c, store)
	p := &passes{c: c, store: store, board: b, prepare: prep.prepare, wake: make(chan string, 1), node: reconcile.Node{
		ShareRoots: c.Instance.ShareRoots, ForceUser: c.Instance.ForceUser, StrangerHash: strangerHash}}
	p.probes = newProbes(c, b, probe.New(probe.Options{
		Addr: smbdproc.Address(&c.Instance), StrangerHash: strangerHash, Mark: mark(c.StateDir), Log: c.Log, Clock: c.Clock}))
	c.Smbd.Log, c.Smbd.Prepare = c.Log, prep.prepare
	var s *smbdproc.Supervisor
	c.Smbd.Changed = func() {
		st := s.Status()
		if b.smbd(st) {
			p.probes.all()
		}
	}
	s = smbdproc.New(&c.Instance, c.Smbd)

	f := &fetcher{c: c, store: store, board: b, passes: p}
	var parts sync.WaitGroup
	for _, run := range []func(context.Context){s.Run, c.Link.Run, f.run, p.run, p.probes.run, b.run} {
		parts.Go(func() { run(ctx) })
	}
	parts.Wait()
	c.Log.Info("agent stopped", "samba", map[bool]string{true: "stopping", false: "stays"}[c.StopSamba])
	if !c.StopSamba {
		return nil
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return smbdproc.Stop(ending, &c.Instance)
}

// preparer makes what Samba's programs need before any of them runs beside another.
type preparer struct {
	inst *samba.Instance
	mu   sync.Mutex
	once bool
}

// prepare may be called at any time, and by several.
func (p *preparer) prepare(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.inst.WriteConfig(ctx); err != nil || p.once {
		return err
	}
	// Whoever opens passdb.tdb first makes it, and replaces the file doing so. If smbd and pdbedit do it at once, one of
	// them goes on with a file that is gone. So make it here, alone.
	if _, err := p.inst.Run(ctx, nil, "pdbedit", "-L"); err != nil {
		return err
	}
	p.once = true
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if !filepath.IsAbs(c.StateDir) {
		return c, fmt.Errorf("agent: the state directory %q is not absolute", c.StateDir)
	}
	if err := c.Instance.Validate(); err != nil {
		return c, err
	}
	if c.PassEvery <= 0 {
		c.PassEvery = time.Minute
	}
	if c.ProbeEvery <= 0 {
		c.ProbeEvery = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.System
	}
	if c.Driver == nil {
		c.Driver = registry.New(&c.Instance)
	}
	return c, nil
}

// lock takes the lock file, which the kernel lets go when the process ends, however it ends.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	// A program that the last agent was just starting when it was killed has a copy of the lock until it is loaded.
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline) {
			continue
		}
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("agent: %w: %s", ErrRunning, filepath.Dir(file))
		}
		return nil, fmt.Errorf("agent: lock: %w", err)
	}
	return func() {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // of all copies; closing ends ours only
		_ = f.Close()
	}, nil
}

const lockPatience = 500 * time.Millisecond

// mark is what tells this agent's probe files from those of another.
func mark(stateDir string) string {
	sum := sha256.Sum256([]byte(hostname() + "\x00" + stateDir))
	return hex.EncodeToString(sum[:6])
}
