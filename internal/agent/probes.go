package agent

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba/probe"
)

// probes decides when which share is probed. A share that has just changed goes before all others.
type probes struct {
	c      Config
	board  *board
	prober *probe.Prober
	wake   chan struct{} // capacity 1

	mu      sync.Mutex
	targets map[string]*target // by UID of the share
	who     probe.Principals
	open    bool // smbd has come up, or is known not to
	running [classes]int
}

// class of a probe; a lower one goes first.
type class int

const (
	changed  class = iota // the spec or those who may use the share have changed
	unproven              // nothing is known since the agent or smbd has started
	routine               // it is time again
	classes
)

// target is a share to be probed.
type target struct {
	share     desired.Share
	path      string
	requestID string
	chosen    chosen
	class     class
	due       time.Time
	active    bool // being probed
	outdated  bool // has changed while being probed
	failures  int  // in a row
}

// chosen are those as whom a share is probed.
type chosen struct{ writer, writerHash, reader, readerHash string }

// The pauses after a failed probe.
const (
	retryProbeMin = 2 * time.Second
	retryProbeMax = time.Minute
)

func newProbes(c Config, b *board, p *probe.Prober) *probes {
	return &probes{c: c, board: b, prober: p, wake: make(chan struct{}, 1), targets: map[string]*target{}}
}

func (p *probes) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// plan takes over what a pass has done. news says that something may differ from the pass before.
func (p *probes) plan(ctx context.Context, snap *desired.Snapshot, r reconcile.Result, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.poke()
	if len(r.Steps) > 0 {
		p.prober.Renew()
	}
	if !news {
		return
	}
	good := make(map[string]reconcile.Outcome, len(r.Outcomes))
	for _, o := range r.Outcomes {
		if o.Problem == nil {
			good[o.UID] = o
		}
	}
	p.who = probe.NewPrincipals(snap, func(u desired.User) bool { _, ok := good[u.UID]; return ok })
	seen := make(map[string]bool, len(snap.Shares))
	now := time.Now()
	for _, s := range snap.Shares {
		o, ok := good[s.UID]
		if !ok {
			continue // it has a problem, and no probe could make it ready
		}
		seen[s.UID] = true
		t := p.targets[s.UID]
		var who chosen
		if w, r := p.who.Choose(s); true {
			if w != nil {
				who.writer, who.writerHash = w.Name, w.NTHash
			}
			if r != nil {
				who.reader, who.readerHash = r.Name, r.NTHash
			}
		}
		switch {
		case t == nil && !o.Changes:
			t = &target{class: unproven, due: now}
			p.targets[s.UID] = t
		case t == nil:
			t = &target{class: changed, due: now}
			p.targets[s.UID] = t
		case o.Changes || t.share.Generation != s.Generation || t.path != o.Path || t.chosen != who:
			t.class, t.due, t.failures, t.outdated = changed, now, 0, t.active
		}
		t.share, t.path, t.chosen, t.requestID = s, o.Path, who, logx.RequestID(ctx)
	}
	for uid := range p.targets {
		if !seen[uid] {
			delete(p.targets, uid)
		}
	}
}

// all has every share probed, because smbd has come or gone.
func (p *probes) all() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
	p.prober.Renew()
	now := time.Now()
	for _, t := range p.targets {
		t.due, t.failures, t.outdated = now, 0, t.active
		t.class = min(t.class, unproven)
	}
	p.poke()
}

// run probes until ctx ends.
func (p *probes) run(ctx context.Context) {
	defer p.prober.Close()
	var workers sync.WaitGroup
	defer workers.Wait()
	for {
		uid, t, wait := p.next()
		if t == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-p.wake:
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		workers.Go(func() { p.probe(ctx, uid, t) })
	}
}

// limit is how many probes of a class and those before it may run at a time. The rest is kept for what is more urgent.
func limit(c class) int {
	n := max(4, 2*runtime.GOMAXPROCS(0))
	if c == routine {
		return n / 2
	}
	if c == unproven {
		return n - 1
	}
	return n
}

// next takes the target to probe now, or returns how long to wait.
func (p *probes) next() (uid string, best *target, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = time.Minute
	if !p.open {
		return "", nil, wait
	}
	now := time.Now()
	active := 0
	for _, n := range p.running {
		active += n
	}
	for id, t := range p.targets {
		if t.active {
			continue
		}
		if t.due.After(now) {
			wait = min(wait, t.due.Sub(now))
			continue
		}
		if active < limit(t.class) && (best == nil || t.class < best.class || t.class == best.class && t.due.Before(best.due)) {
			uid, best = id, t
		}
	}
	if best != nil {
		best.active = true
		p.running[best.class]++
	}
	return uid, best, wait
}

func (p *probes) probe(ctx context.Context, uid string, t *target) {
	p.mu.Lock()
	share, path, who, cl, requestID := t.share, t.path, p.who, t.class, t.requestID
	p.mu.Unlock()
	r := p.prober.Probe(ctx, share, path, who)

	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.poke()
	t.active = false
	p.running[cl]--
	if ctx.Err() != nil || p.targets[uid] != t {
		return
	}
	if t.outdated { // what was probed is no longer what is there; it is due at once
		t.outdated = false
		return
	}
	t.class = routine
	if r.Passed {
		t.failures = 0
		t.due = time.Now().Add(jitter(p.c.ProbeEvery))
	} else {
		t.due = time.Now().Add(jitter(min(retryProbeMin<<min(t.failures, 16), retryProbeMax, p.c.ProbeEvery)))
		t.failures++
	}
	if cl == changed || !r.Passed {
		p.c.Log.InfoContext(logx.WithRequestID(ctx, requestID), "probed", "share", share.Name, "generation", share.Generation,
			"passed", r.Passed, "millis", r.Millis)
	}
	p.board.receipt(uid, r)
}

// jitter returns d, give or take a fifth.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
