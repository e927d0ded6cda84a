package reconcile

import "github.com/pve-smb-gateway/smbgw/internal/samba"

// Policy says when removals wait for a person. The zero value means the defaults.
type Policy struct {
	// MassFraction is the part of a node's marked shares that one snapshot may remove, 0 to 1; 0 means 0.3.
	MassFraction float64
	// MassMinimum is the number of removals from which MassFraction counts; 0 means 5.
	MassMinimum int
}

func (p Policy) orDefaults() Policy {
	if p.MassFraction == 0 {
		p.MassFraction = 0.3
	}
	if p.MassMinimum == 0 {
		p.MassMinimum = 5
	}
	return p
}

// hold decides whether this plan may remove anything: shares, users or groups.
func (p *planner) hold() {
	snap := p.in.Snapshot
	marked, doomed := 0, 0
	for _, s := range p.in.Observed.Sections {
		if s.ID == "" {
			continue
		}
		marked++
		if !p.wants(s) {
			doomed++
		}
	}
	confirmed := snap.ConfirmedEpoch == snap.Revision.Epoch
	// A node that remembers no epoch and would lose nothing takes the first that it meets.
	fresh := p.in.LastEpoch == "" && doomed == 0
	p.out.Epoch = p.in.LastEpoch
	policy := p.in.Policy.orDefaults()
	switch {
	case p.in.LastEpoch != snap.Revision.Epoch && !confirmed && !fresh:
		p.out.Hold = problem("node.removals_held_epoch", "The control plane was restored or replaced since this node last heard of it. Shares that it does not know are kept (%d). Check them, then confirm removals on the node.", doomed)
		return
	case doomed >= policy.MassMinimum && float64(doomed) > policy.MassFraction*float64(marked) &&
		!(confirmed && snap.ConfirmedNumber >= snap.Revision.Number):
		p.out.Hold = problem("node.removals_held_mass", "%d of %d shares would be removed from this node at once. They are kept. Check them, then confirm removals on the node.", doomed, marked)
		return
	}
	p.out.Epoch = snap.Revision.Epoch
}

// access are parameters whose change may take a right away from someone who is connected.
var access = []string{"path", "force user", "invalid users", "hosts allow", "allow hosts", "hosts deny", "deny hosts",
	"smb encrypt", "server smb encrypt", "veto files", "create mask", "directory mask", "max connections", "hide unreadable"}

// narrows reports whether clients that connected under have may do something that want does not allow.
func narrows(have, want samba.Section) bool {
	if have.ID != want.ID || have.Params["available"] == "no" {
		return true
	}
	for _, key := range access {
		if have.Params[key] != want.Params[key] {
			return true
		}
	}
	h, w := have.Params, want.Params
	return h["read only"] == "no" && w["read only"] != "no" ||
		lostUsers(h["valid users"], w["valid users"], true) ||
		lostUsers(h["write list"], w["write list"], false) ||
		lostUsers(w["read list"], h["read list"], false)
}
