package agent

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/reconcile"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/probe"
	"github.com/pve-smb-gateway/smbgw/internal/samba/smbdproc"
)

// board holds what is known of the node and its objects, and reports it. It is safe for concurrent use.
//
// A share that has not changed is not in the report until this agent has probed it: after a restart of the agent what the
// server knows is better than "unknown". In all other respects reports are complete.
type board struct {
	c     Config
	store *store
	dirty chan struct{} // capacity 1

	mu       sync.Mutex
	revision desired.Revision // of the last pass that has planned
	objects  map[key]*entry
	held     []string
	hold     *samba.Problem
	problems []samba.Problem // of the node, from the plan
	failed   error           // of the last pass
	refusal  *samba.Problem  // why a snapshot could not be taken from the server
	smbdNow  smbdproc.Status
	conds    []object.Condition // of the node
	version  string             // Samba's
}

type key struct{ kind, uid string }

// entry is one object as it is reported.
type entry struct {
	desired.ObjectReport
	known    bool // there is something to say
	problem  bool // it could not be applied
	position int  // in the report
}

func newBoard(c Config, s *store) *board {
	b := &board{c: c, store: s, dirty: make(chan struct{}, 1), objects: map[key]*entry{}}
	b.changed()
	return b
}

// changed asks for a report. It does not wait.
func (b *board) changed() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// refused notes why the server's snapshot could not be taken, or that it could.
func (b *board) refused(p *samba.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if (p == nil) != (b.refusal == nil) {
		b.changed()
	}
	b.refusal = p
}

// smbd notes how smbd stands and reports whether every share has to be probed anew.
func (b *board) smbd(now smbdproc.Status) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.smbdNow
	b.smbdNow = now
	b.changed()
	switch now.State {
	case smbdproc.Running:
		return was.State != smbdproc.Running || was.PID != now.PID
	case smbdproc.Down:
		return now.Problem != nil && (was.State != smbdproc.Down || was.Problem == nil)
	}
	return false
}

// set changes a condition and reports whether that is news.
func (b *board) set(e *entry, typ string, s object.Status, reason, message string) bool {
	c := object.Condition{Type: typ, Status: s, Reason: reason, Message: message, ObservedGeneration: e.ObservedGeneration}
	if old := object.Find(e.Conditions, typ); old != nil {
		c.LastTransitionAt = old.LastTransitionAt
		if *old == c {
			return false
		}
	}
	e.Conditions = object.Set(e.Conditions, c, b.c.Clock.Now())
	return true
}

// passed takes over what a pass has done.
func (b *board) passed(snap *desired.Snapshot, r reconcile.Result, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news := (err == nil) != (b.failed == nil) || err != nil && err.Error() != b.failed.Error()
	b.failed = err
	defer func() {
		if news {
			b.changed()
		}
	}()
	if r.Outcomes == nil && err != nil { // it has not come to planning
		return
	}
	news = news || b.revision != snap.Revision
	b.revision = snap.Revision
	held := slices.Clone(r.Held)
	if err != nil {
		// What could not be removed is still there: the server must not believe it gone.
		for _, s := range r.Steps {
			if s.Kind == reconcile.RemoveSections {
				held = append(held, s.Names...)
			}
		}
	}
	slices.Sort(held)
	held = slices.Compact(held)
	news = news || !slices.Equal(held, b.held) || (r.Hold == nil) != (b.hold == nil) || !slices.Equal(r.Problems, b.problems)
	b.held, b.hold, b.problems = held, r.Hold, r.Problems
	seen := make(map[key]bool, len(r.Outcomes))
	for i, o := range r.Outcomes {
		k := key{o.Kind, o.UID}
		seen[k] = true
		e := b.objects[k]
		if e == nil {
			e = &entry{}
			e.Kind, e.UID, e.ObservedGeneration = o.Kind, o.UID, o.Generation
			b.objects[k] = e
		}
		e.position = i
		if b.outcome(e, o, err) {
			news = true
		}
	}
	for k := range b.objects {
		if !seen[k] {
			delete(b.objects, k)
			news = true
		}
	}
}

// outcome takes over what a pass means for one object and reports whether that is news.
func (b *board) outcome(e *entry, o reconcile.Outcome, err error) bool {
	news := e.Path != o.Path
	e.Path = o.Path
	if e.ObservedGeneration != o.Generation {
		e.ObservedGeneration, e.Receipt = o.Generation, nil
		e.known, news = true, true
	}
	isShare := o.Kind == desired.KindShare
	p := o.Problem
	if p == nil && err != nil && o.Changes {
		p = &samba.Problem{Reason: "node.pass_failed", Message: fmt.Sprintf("The node could not apply it: %v. The agent keeps trying.", err)}
	}
	if p != nil {
		e.known, e.problem = true, true
		news = b.set(e, object.Applied, object.False, p.Reason, p.Message) || news
		news = b.set(e, object.InSync, object.False, p.Reason, p.Message) || news
		if isShare {
			news = b.set(e, object.Ready, object.False, p.Reason, p.Message) || news
		}
		return news
	}
	if o.Changes || !isShare {
		news = news || !e.known
		e.known = true
	}
	news = b.set(e, object.Applied, object.True, o.Kind+".applied", "Samba on this node holds this generation.") || news
	news = b.set(e, object.InSync, object.True, o.Kind+".in_sync", "Nothing on this node differs from the spec.") || news
	if ready := object.Find(e.Conditions, object.Ready); isShare && (e.problem || ready == nil || ready.ObservedGeneration != o.Generation) {
		news = b.set(e, object.Ready, object.Unknown, "probe.pending", "A client is about to prove it.") || news
	}
	e.problem = false
	return news && e.known
}

// receipt takes over the result of a probe.
func (b *board) receipt(uid string, r desired.Receipt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.objects[key{desired.KindShare, uid}]
	if e == nil || e.ObservedGeneration != r.Generation || e.problem {
		return
	}
	e.known, e.Receipt = true, &r
	owner := cmp.Or(b.c.Instance.ForceUser, desired.OwnerName)
	ready, reachable := probe.Conditions(r, e.Path, owner)
	b.set(e, ready.Type, ready.Status, ready.Reason, ready.Message)
	b.set(e, reachable.Type, reachable.Status, reachable.Reason, reachable.Message)
	b.changed()
}

// run sends reports until ctx ends. Those that come fast upon each other become one: with many shares a report is large.
func (b *board) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.dirty:
		}
		if b.samba() == "" {
			b.setSamba(sambaVersion(ctx, &b.c.Instance))
		}
		r := b.report()
		b.c.Link.SendReport(r)
		wait := time.NewTimer(10*time.Millisecond + time.Duration(len(r.Objects))*500*time.Microsecond)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

func (b *board) samba() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}

func (b *board) setSamba(version string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version = version
}

// report returns all that is known. The receiver may keep it.
func (b *board) report() *desired.Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	inst := &b.c.Instance
	now := b.c.Clock.Now()
	b.nodeConditions(now)
	r := &desired.Report{
		NodeUID: b.c.Link.Identity().NodeUID, Revision: b.revision, At: now, Held: slices.Clone(b.held),
		Objects: []desired.ObjectReport{},
		Node: desired.NodeReport{
			Hostname: hostname(), AgentVersion: b.c.Version, SambaVersion: b.version, OS: osName(),
			ShareRoots: slices.Clone(inst.ShareRoots), SMBAddress: smbAddress(inst), Backend: "registry", NSS: string(inst.NSS),
			SmbdPID: b.smbdNow.PID, SmbdStarted: b.smbdNow.Started, SmbdRestarts: b.smbdNow.Restarts,
			Conditions: slices.Clone(b.conds),
		},
	}
	known := make([]*entry, 0, len(b.objects))
	for _, e := range b.objects {
		if e.known {
			known = append(known, e)
		}
	}
	slices.SortFunc(known, func(x, y *entry) int { return cmp.Compare(x.position, y.position) })
	for _, e := range known {
		o := e.ObjectReport
		o.Conditions = slices.Clone(o.Conditions)
		r.Objects = append(r.Objects, o)
	}
	return r
}

// smbAddress returns the host:port on which smbd listens, without a host if it listens everywhere.
func smbAddress(inst *samba.Instance) string {
	host := ""
	for _, a := range inst.Bind {
		if ip := net.ParseIP(a); host == "" || ip != nil && !ip.IsLoopback() && net.ParseIP(host).IsLoopback() {
			host = a
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(inst.Port))
}

// Types of conditions that only nodes have.
const (
	RemovalsHeld   = "RemovalsHeld"
	SnapshotStored = "SnapshotStored"
)

// nodeConditions brings the node's own conditions up to date.
func (b *board) nodeConditions(now time.Time) {
	set := func(typ string, bad *samba.Problem, badStatus, goodStatus object.Status, reason, message string) {
		c := object.Condition{Type: typ, Status: goodStatus, Reason: reason, Message: message}
		if bad != nil {
			c.Status, c.Reason, c.Message = badStatus, bad.Reason, bad.Message
		}
		b.conds = object.Set(b.conds, c, now)
	}
	snap, stored := b.store.get()
	if b.refusal != nil {
		stored = b.refusal
	}
	set(SnapshotStored, stored, object.False, object.True, "snapshot.stored", "The node's snapshot is stored and whole.")
	var applied *samba.Problem
	if b.failed != nil {
		applied = &samba.Problem{Reason: "node.pass_failed", Message: fmt.Sprintf("Not all could be applied: %v. The agent keeps trying.", b.failed)}
	} else if snap == nil {
		applied = &samba.Problem{Reason: "node.no_snapshot", Message: "The node has no snapshot yet; it takes one from the server as soon as it can reach it."}
	}
	set(object.Applied, applied, object.False, object.True, "node.applied", "Samba on this node is as the stored snapshot says.")
	set(RemovalsHeld, b.hold, object.True, object.False, "node.removals_free", "Removals are carried out.")
	var noSmbd, degraded *samba.Problem
	switch st := b.smbdNow; {
	case st.State == smbdproc.Running:
		degraded = st.Problem
	case st.Problem != nil:
		noSmbd = st.Problem
	default:
		noSmbd = &samba.Problem{Reason: "smbd.starting", Message: "smbd is being started."}
	}
	ready := noSmbd
	if ready == nil {
		ready = applied
	}
	set(object.Ready, ready, object.False, object.True, "node.ready", "smbd takes connections, and the stored snapshot is applied.")
	switch {
	case degraded != nil:
	case stored != nil:
		degraded = stored
	case len(b.problems) > 0:
		degraded = &b.problems[0]
	case b.hold != nil:
		degraded = b.hold
	}
	set(object.Degraded, degraded, object.True, object.False, "node.fine", "Everything is as promised.")
}
