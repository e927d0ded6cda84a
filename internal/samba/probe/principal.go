package probe

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
)

// Principals are the users as whom a probe may log in: enabled, with a password. It is a value for reading only.
type Principals struct {
	users  []desired.User             // sorted by name
	member map[string]map[string]bool // user by group, folded
}

// NewPrincipals takes the users and groups of a snapshot. usable, if not nil, tells which of the users the node's Samba
// really has.
func NewPrincipals(s *desired.Snapshot, usable func(u desired.User) bool) Principals {
	p := Principals{member: map[string]map[string]bool{}}
	for _, u := range s.Users {
		if u.Enabled && u.NTHash != "" && (usable == nil || usable(u)) {
			p.users = append(p.users, u)
		}
	}
	slices.SortFunc(p.users, func(a, b desired.User) int { return cmp.Compare(a.Name, b.Name) })
	for _, g := range s.Groups {
		members := map[string]bool{}
		for _, m := range g.Members {
			members[strings.ToLower(m)] = true
		}
		p.member[strings.ToLower(g.Name)] = members
	}
	return p
}

// Choose returns the first user by name who may write to s, and the first who may only read. Either may be nil.
func (p Principals) Choose(s desired.Share) (writer, reader *desired.User) {
	for i := range p.users {
		u := &p.users[i]
		if len(s.ValidUsers) > 0 && !p.listed(u.Name, s.ValidUsers) {
			continue
		}
		// As Samba decides: the write list wins over the read list, which wins over `read only`.
		mayWrite := p.listed(u.Name, s.WriteList) || !s.ReadOnly && !p.listed(u.Name, s.ReadList)
		switch {
		case mayWrite && writer == nil:
			writer = u
		case !mayWrite && reader == nil:
			reader = u
		}
		if writer != nil && reader != nil {
			break
		}
	}
	return writer, reader
}

// listed reports whether a list of users and @groups names the user.
func (p Principals) listed(user string, list []string) bool {
	user = strings.ToLower(user)
	for _, name := range list {
		if group, ok := strings.CutPrefix(name, "@"); ok {
			if p.member[strings.ToLower(group)][user] {
				return true
			}
		} else if strings.ToLower(name) == user {
			return true
		}
	}
	return false
}
