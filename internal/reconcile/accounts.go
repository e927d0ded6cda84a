package reconcile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// accounts plans users and groups, and gives each an outcome.
func (p *planner) accounts() {
	var change samba.AccountChange
	have := map[string]samba.User{}
	for _, u := range p.in.Observed.Accounts.Users {
		have[u.Name] = u
	}
	keep := map[string]bool{}
	taken := p.in.Observed.Taken
	for _, u := range p.reserved() {
		keep[u.Name] = true
		if taken.Users[u.Name] || taken.UserIDs[u.ID] {
			p.out.Problems = append(p.out.Problems, *problem("node.account_in_use", "The machine has an account %q or the uid %d of its own, which smbgw needs. Remove or renumber that account.", u.Name, u.ID))
			continue
		}
		if have[u.Name] != u {
			change.PutUsers = append(change.PutUsers, u)
		}
	}
	seen := map[string]bool{desired.OwnerName: true, desired.StrangerName: true}
	ids := map[int]bool{}
	users := slices.Clone(p.in.Snapshot.Users)
	slices.SortFunc(users, func(a, b desired.User) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	for _, u := range users {
		o := Outcome{Kind: desired.KindUser, UID: u.UID, Name: u.Name, Generation: u.Generation}
		o.Problem = checkAccount("user", u.Name, u.FullName, u.ID, desired.FirstUserID, desired.LastUserID,
			seen, ids, taken.Users, taken.UserIDs)
		if o.Problem == nil && !samba.ValidHash(u.NTHash) {
			o.Problem = problem("user.password_invalid", "The stored password hash of %q is damaged. Set the password again.", u.Name)
		}
		if o.Problem == nil {
			seen[samba.FoldName(u.Name)], ids[u.ID] = true, true
			want := samba.User{Name: u.Name, ID: u.ID, FullName: strings.TrimSpace(u.FullName), NTHash: u.NTHash, Enabled: u.Enabled && u.NTHash != ""}
			if have[u.Name] != want {
				change.PutUsers = append(change.PutUsers, want)
				o.Changes = true
			}
		}
		keep[u.Name] = true
		p.out.Outcomes = append(p.out.Outcomes, o)
	}
	for _, u := range p.in.Observed.Accounts.Users {
		switch {
		case keep[u.Name]:
		case p.out.Hold != nil && u.Name != desired.StrangerName:
			p.out.HeldUsers = append(p.out.HeldUsers, u.Name)
		default:
			change.RemoveUsers = append(change.RemoveUsers, u.Name)
		}
	}
	p.groups(&change)
	if !change.Empty() {
		p.out.Steps = append(p.out.Steps, Step{Kind: SyncAccounts, Accounts: change})
	}
}

// reserved returns the accounts that every node has: the owner of files, and the stranger who may use nothing.
func (p *planner) reserved() []samba.User {
	return []samba.User{
		{Name: desired.OwnerName, ID: desired.OwnerID, FullName: "smbgw share owner"},
		{Name: desired.StrangerName, ID: desired.StrangerID, FullName: "smbgw probe (may use no share)",
			NTHash: p.in.Node.StrangerHash, Enabled: p.in.Node.StrangerHash != ""},
	}
}

func (p *planner) groups(change *samba.AccountChange) {
	have := map[string]samba.Group{}
	for _, g := range p.in.Observed.Accounts.Groups {
		have[g.Name] = g
	}
	owner := samba.Group{Name: desired.OwnerName, ID: desired.OwnerID}
	if taken := p.in.Observed.Taken; taken.Groups[owner.Name] || taken.GroupIDs[owner.ID] {
		p.out.Problems = append(p.out.Problems, *problem("node.account_in_use", "The machine has a group %q or the gid %d of its own, which smbgw needs. Remove or renumber that group.", owner.Name, owner.ID))
	} else if g, ok := have[owner.Name]; !ok || !g.Equal(owner) {
		change.PutGroups = append(change.PutGroups, owner)
	}
	keep := map[string]bool{owner.Name: true}
	seen, ids := map[string]bool{owner.Name: true}, map[int]bool{}
	groups := slices.Clone(p.in.Snapshot.Groups)
	slices.SortFunc(groups, func(a, b desired.Group) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID)) })
	for _, g := range groups {
		o := Outcome{Kind: desired.KindGroup, UID: g.UID, Name: g.Name, Generation: g.Generation}
		o.Problem = checkAccount("group", g.Name, "", g.ID, desired.FirstGroupID, desired.LastGroupID,
			seen, ids, p.in.Observed.Taken.Groups, p.in.Observed.Taken.GroupIDs)
		if o.Problem == nil {
			seen[samba.FoldName(g.Name)], ids[g.ID] = true, true
			want := samba.Group{Name: g.Name, ID: g.ID}
			for _, m := range g.Members {
				if samba.AccountName(m) {
					want.Members = append(want.Members, m)
				}
			}
			slices.Sort(want.Members)
			want.Members = slices.Compact(want.Members)
			if old, ok := have[g.Name]; !ok || !old.Equal(want) {
				change.PutGroups = append(change.PutGroups, want)
				o.Changes = true
			}
		}
		keep[g.Name] = true
		p.out.Outcomes = append(p.out.Outcomes, o)
	}
	for _, g := range p.in.Observed.Accounts.Groups {
		switch {
		case keep[g.Name]:
		case p.out.Hold != nil:
			p.out.HeldGroups = append(p.out.HeldGroups, g.Name)
		default:
			change.RemoveGroups = append(change.RemoveGroups, g.Name)
		}
	}
}

func checkAccount(noun, name, fullName string, id, first, last int, seen map[string]bool, ids map[int]bool, names map[string]bool, taken map[int]bool) *samba.Problem {
	switch {
	case !samba.AccountName(name) || !samba.PlainText(fullName) || strings.ContainsAny(fullName, ":,"):
		return problem(noun+".name_invalid", "The name of %s %q cannot be written to the node's account files. Rename it.", noun, name)
	case seen[samba.FoldName(name)]:
		return problem(noun+".name_taken", "Another %s has the name %q, or smbgw reserves it. Rename one.", noun, name)
	case names[samba.FoldName(name)]:
		return problem(noun+".name_in_use_on_node", "The node has a %s %q of its own, which smbgw will not touch. Rename one of them.", noun, name)
	case id < first || id > last:
		return problem(noun+".id_invalid", "The id %d of %s %q is outside of the reserved range %d to %d. Recreate it.", id, noun, name, first, last)
	case ids[id] || taken[id]:
		return problem(noun+".id_in_use_on_node", "The id %d of %s %q belongs to another account on the node. Remove that account, or recreate the %s.", id, noun, name, noun)
	}
	return nil
}

// lostUsers reports whether a name of the list have is missing in want. With emptyIsAll an empty list means everyone.
func lostUsers(have, want string, emptyIsAll bool) bool {
	if emptyIsAll && (want == "" || have == "") {
		return want != have && want != ""
	}
	rest := strings.Fields(want)
	for _, n := range strings.Fields(have) {
		if !slices.Contains(rest, n) {
			return true
		}
	}
	return false
}
