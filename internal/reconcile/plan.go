package reconcile

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Input is everything a plan depends on.
type Input struct {
	Snapshot *desired.Snapshot
	Observed samba.State
	// Facts are what the node says of the sections that [Render] made, keyed by the section's name. A share without
	// a fact counts as servable.
	Facts map[string]samba.Fact
	Node  Node
	// LastEpoch is the store epoch that this node last accepted, the Epoch of an earlier plan; empty at first.
	LastEpoch string
	Policy    Policy
}

// Kind of a step, in the order in which steps come.
type Kind string

// The kinds of steps.
const (
	SyncAccounts   Kind = "accounts"
	EnsurePath     Kind = "path"
	PutSections    Kind = "put"
	CloseShares    Kind = "close"
	SettleSections Kind = "settle" // put again, without the closing marker
	RemoveSections Kind = "remove"
)

// Step is one call of a driver. Doing it twice equals doing it once.
type Step struct {
	Kind     Kind
	Accounts samba.AccountChange `json:",omitzero"`  // SyncAccounts
	Path     string              `json:",omitempty"` // EnsurePath
	Share    string              `json:",omitempty"` // EnsurePath: UID of the share it is for
	Sections []samba.Section     `json:",omitempty"` // PutSections, SettleSections
	Names    []string            `json:",omitempty"` // CloseShares, RemoveSections
}

// Outcome is what a plan means for one desired object.
type Outcome struct {
	Kind       string `json:"kind"` // desired.KindShare and so on
	UID        string `json:"uid"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// Path is the path in effect, of shares.
	Path string `json:"path,omitempty"`
	// Changes says that a step touches the object.
	Changes bool `json:"changes,omitempty"`
	// Problem keeps the object from being applied; nil when it is, or will be once the steps are done.
	Problem *samba.Problem `json:"problem,omitempty"`
}

// Plan is what to do, and what it means. The zero Steps mean that the node is as it shall be.
type Plan struct {
	Steps    []Step    `json:"steps"`
	Outcomes []Outcome `json:"outcomes"`
	// Held are names of marked sections that are not desired but kept. HeldUsers and HeldGroups likewise.
	Held       []string `json:"held,omitempty"`
	HeldUsers  []string `json:"heldUsers,omitempty"`
	HeldGroups []string `json:"heldGroups,omitempty"`
	// Hold is why; nil when removals may go on. It may be set without anything being held yet.
	Hold *samba.Problem `json:"hold,omitempty"`
	// Problems concern the node as a whole.
	Problems []samba.Problem `json:"problems,omitempty"`
	// Epoch is the next LastEpoch, to be stored before the steps are walked.
	Epoch string `json:"epoch,omitempty"`
}

// Make returns the plan for in. It is a pure function, and in is not changed.
func Make(in Input) Plan {
	p := &planner{in: in, sections: map[string]samba.Section{}, uids: map[string]string{}}
	for _, s := range in.Snapshot.Shares {
		// The server keeps names unique; should it fail, every pass has to choose the same one.
		if uid, taken := p.uids[samba.FoldName(s.Name)]; !taken || s.UID < uid {
			p.uids[samba.FoldName(s.Name)] = s.UID
		}
	}
	for _, s := range in.Observed.Sections {
		p.sections[samba.FoldName(s.Name)] = s
	}
	p.hold()
	p.accounts()
	p.shares()
	p.removals()
	p.interrupted()
	return p.finish()
}

type planner struct {
	in       Input
	out      Plan
	sections map[string]samba.Section // observed, by folded name
	uids     map[string]string        // of desired shares, by folded name

	paths  []Step
	put    []samba.Section
	settle []samba.Section
	close  []string
	remove []string
}

// wants reports whether s belongs to a desired share. A share keeps its section even while it has a problem.
func (p *planner) wants(s samba.Section) bool {
	uid, ok := p.uids[samba.FoldName(s.Name)]
	return ok && uid == s.ID
}

// shares plans every desired share and gives each an outcome.
func (p *planner) shares() {
	shares := slices.Clone(p.in.Snapshot.Shares)
	slices.SortFunc(shares, func(a, b desired.Share) int {
		return cmp.Or(cmp.Compare(samba.FoldName(a.Name), samba.FoldName(b.Name)), cmp.Compare(a.UID, b.UID))
	})
	rendered := make([]samba.Section, len(shares))
	outcomes := make([]Outcome, len(shares))
	for n, s := range shares {
		o := &outcomes[n]
		*o = Outcome{Kind: desired.KindShare, UID: s.UID, Name: s.Name, Generation: s.Generation}
		rendered[n], o.Problem = Render(s, p.in.Node)
		if o.Problem != nil {
			continue
		}
		o.Path = rendered[n].Params["path"]
		have, exists := p.sections[samba.FoldName(s.Name)]
		switch {
		case p.uids[samba.FoldName(s.Name)] != s.UID:
			o.Problem = problem("share.name_taken", "Another share of this node has the name %q; Samba ignores case. Rename one.", s.Name)
		case exists && have.ID == "":
			o.Problem = problem("share.name_in_use_on_node", "Samba on this node has a section %q that smbgw did not write, and will not touch. Rename the share, or remove that section by `net conf delshare`.", have.Name)
		case exists && have.ID != s.UID && p.out.Hold != nil:
			o.Problem = problem("share.replacement_held", "The node still serves an earlier share %q, and removals are held there. Confirm removals on the node, or rename the share.", have.Name)
		default:
			o.Problem = p.in.Facts[s.Name].Problem
		}
	}
	p.overlaps(shares, rendered, outcomes)
	for n := range shares {
		if outcomes[n].Problem == nil {
			outcomes[n].Changes = p.share(rendered[n])
		}
	}
	p.out.Outcomes = append(p.out.Outcomes, outcomes...)
}

// overlaps refuses shares whose paths are equal to or below another's. The one that is served already stays.
func (p *planner) overlaps(shares []desired.Share, rendered []samba.Section, outcomes []Outcome) {
	type entry struct {
		n      int
		path   string
		served bool
	}
	var entries []entry
	for n := range shares {
		if outcomes[n].Problem != nil {
			continue
		}
		e := entry{n: n, path: outcomes[n].Path}
		if f := p.in.Facts[shares[n].Name]; f.Path != "" {
			e.path = f.Path
		}
		have := p.sections[samba.FoldName(shares[n].Name)]
		e.served = have.ID == shares[n].UID && have.Params["path"] == rendered[n].Params["path"]
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return -boolCompare(a.served, b.served) })
	owner := map[string]string{} // path in use -> share
	under := map[string]string{} // parent of a path in use -> share
	for _, e := range entries {
		other := under[e.path]
		for dir := e.path; other == "" && dir != "/" && dir != "."; dir = path.Dir(dir) {
			other = owner[dir]
		}
		name := shares[e.n].Name
		if other != "" {
			outcomes[e.n].Problem = problem("share.path_overlaps", "The path %s lies in, holds or equals that of share %q. Choose a directory of its own.", e.path, other)
			continue
		}
		owner[e.path] = name
		for dir := path.Dir(e.path); dir != "/" && dir != "."; dir = path.Dir(dir) {
			under[dir] = name
		}
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// share plans one share that can be served, and reports whether anything is to be done.
func (p *planner) share(want samba.Section) bool {
	have, exists := p.sections[samba.FoldName(want.Name)]
	changes := false
	if f := p.in.Facts[want.Name]; f.Missing {
		p.paths = append(p.paths, Step{Kind: EnsurePath, Path: want.Params["path"], Share: want.ID})
		changes = true
	}
	switch {
	case exists && have.Equal(want):
		return changes
	case exists && (have.Closing || narrows(have, want)):
		closing := want
		closing.Closing = true
		if !have.Equal(closing) {
			p.put = append(p.put, closing)
		}
		p.close = append(p.close, want.Name)
		p.settle = append(p.settle, want)
	default:
		p.put = append(p.put, want)
	}
	return true
}

// removals plans the end of marked sections that are not desired, unless they are held.
func (p *planner) removals() {
	for _, s := range p.in.Observed.Sections {
		if s.ID == "" || p.wants(s) || p.replaced(s) {
			continue
		}
		if p.out.Hold != nil {
			p.out.Held = append(p.out.Held, s.Name)
			continue
		}
		retired := samba.Section{Name: s.Name, ID: s.ID, Generation: s.Generation, Closing: true, Params: map[string]string{"available": "no"}}
		if dir := s.Params["path"]; dir != "" {
			retired.Params["path"] = dir
		}
		if !s.Equal(retired) {
			p.put = append(p.put, retired)
		}
		p.close = append(p.close, s.Name)
		p.remove = append(p.remove, s.Name)
	}
	slices.Sort(p.out.Held)
}

// interrupted finds marked sections that a crash left between two steps and that no other part of this plan takes up,
// because they are held or their share has a problem now. Their clients still have to go.
func (p *planner) interrupted() {
	for _, s := range p.in.Observed.Sections {
		if s.ID == "" || !s.Closing || slices.Contains(p.close, s.Name) || p.replaced(s) {
			continue
		}
		p.close = append(p.close, s.Name)
		s.Closing = false
		p.settle = append(p.settle, s)
	}
}

// replaced reports whether another incarnation takes the section's place in this plan.
func (p *planner) replaced(s samba.Section) bool {
	in := func(list []samba.Section) bool {
		return slices.ContainsFunc(list, func(o samba.Section) bool {
			return samba.FoldName(o.Name) == samba.FoldName(s.Name)
		})
	}
	return in(p.put) || in(p.settle)
}

func (p *planner) finish() Plan {
	byName := func(a, b samba.Section) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(p.put, byName)
	slices.SortFunc(p.settle, byName)
	slices.Sort(p.close)
	slices.Sort(p.remove)
	p.out.Steps = append(p.out.Steps, p.paths...)
	if len(p.put) > 0 {
		p.out.Steps = append(p.out.Steps, Step{Kind: PutSections, Sections: p.put})
	}
	if len(p.close) > 0 {
		p.out.Steps = append(p.out.Steps, Step{Kind: CloseShares, Names: p.close})
	}
	if len(p.settle) > 0 {
		p.out.Steps = append(p.out.Steps, Step{Kind: SettleSections, Sections: p.settle})
	}
	if len(p.remove) > 0 {
		p.out.Steps = append(p.out.Steps, Step{Kind: RemoveSections, Names: p.remove})
	}
	return p.out
}
