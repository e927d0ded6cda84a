package sambatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Fake is a driver in memory. It passes [Conformance]. Not safe for concurrent use.
type Fake struct {
	Roots []string
	// Dirs are the directories that exist.
	Dirs map[string]bool
	// Modules are the VFS modules that exist.
	Modules map[string]bool
	// Writes counts the calls that changed something; Closed records every share whose connections were closed.
	Writes int
	Closed []string
	// Connected holds, by folded share name, the sections by which clients are connected.
	Connected map[string]samba.Section
	// Fault, if set, is asked before and after every call that writes; an error ends the call there. It makes crashes.
	Fault func(call string, after bool) error

	sections map[string]samba.Section // by folded name
	users    map[string]samba.User
	groups   map[string]samba.Group
	taken    samba.Taken
}

var _ samba.Driver = (*Fake)(nil)

// NewFake returns a Samba without shares whose machine has the accounts root and nobody.
func NewFake(roots ...string) *Fake {
	f := &Fake{Roots: roots, Dirs: map[string]bool{}, Modules: map[string]bool{"recycle": true}, Connected: map[string]samba.Section{},
		sections: map[string]samba.Section{}, users: map[string]samba.User{}, groups: map[string]samba.Group{},
		taken: samba.Taken{Users: map[string]bool{"root": true, "nobody": true}, Groups: map[string]bool{"root": true, "nogroup": true},
			UserIDs: map[int]bool{0: true, 65534: true}, GroupIDs: map[int]bool{0: true, 65534: true}}}
	for _, r := range roots {
		f.Dirs[r] = true
	}
	return f
}

// Connect lets a client connect to a share by the rules of now; it stays connected until the share is closed.
func (f *Fake) Connect(name string) bool {
	s, ok := f.sections[samba.FoldName(name)]
	if !ok || s.Params["available"] == "no" {
		return false
	}
	f.Connected[samba.FoldName(name)] = s
	return true
}

// SetForeign writes a section by hand, as an administrator would. Markers are taken as they are given.
func (f *Fake) SetForeign(s samba.Section) { f.sections[samba.FoldName(s.Name)] = clone(s) }

// DeleteForeign removes a section by hand.
func (f *Fake) DeleteForeign(name string) { delete(f.sections, samba.FoldName(name)) }

func clone(s samba.Section) samba.Section {
	s.Params = maps.Clone(s.Params)
	return s
}

func (f *Fake) fault(ctx context.Context, call string, after bool) error {
	if err := ctx.Err(); err != nil && !after {
		return err
	}
	if f.Fault != nil {
		return f.Fault(call, after)
	}
	return nil
}

// write does one change, with the faults that were ordered around it.
func (f *Fake) write(ctx context.Context, call string, do func()) error {
	if err := f.fault(ctx, call, false); err != nil {
		return err
	}
	do()
	f.Writes++
	return f.fault(ctx, call, true)
}

// Observe implements [samba.Driver].
func (f *Fake) Observe(ctx context.Context) (samba.State, error) {
	if err := ctx.Err(); err != nil {
		return samba.State{}, err
	}
	st := samba.State{Taken: f.taken}
	for _, k := range slices.Sorted(maps.Keys(f.sections)) {
		st.Sections = append(st.Sections, clone(f.sections[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(f.users)) {
		st.Accounts.Users = append(st.Accounts.Users, f.users[k])
	}
	for _, k := range slices.Sorted(maps.Keys(f.groups)) {
		st.Accounts.Groups = append(st.Accounts.Groups, f.groups[k])
	}
	return st, nil
}

// Check implements [samba.Driver].
func (f *Fake) Check(ctx context.Context, candidates []samba.Candidate) (map[string]samba.Fact, error) {
	facts := map[string]samba.Fact{}
	for _, c := range candidates {
		facts[c.Section.Name] = f.look(c)
	}
	return facts, ctx.Err()
}

func (f *Fake) look(c samba.Candidate) samba.Fact {
	no := func(reason string) samba.Fact {
		return samba.Fact{Problem: &samba.Problem{Reason: reason, Message: "The fake refuses it. Change it."}}
	}
	dir := c.Section.Params["path"]
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return no("share.path_invalid")
	}
	inside := false
	for _, r := range f.Roots {
		if dir == r || strings.HasPrefix(r, dir+"/") || dir == "/" {
			return no("share.path_is_root")
		}
		inside = inside || strings.HasPrefix(dir, r+"/")
	}
	switch {
	case !inside:
		return no("share.path_outside_roots")
	case !f.Dirs[dir] && !c.CreatePath:
		return no("share.path_missing")
	}
	for _, m := range strings.Fields(c.Section.Params["vfs objects"]) {
		if !f.Modules[m] {
			return no("share.vfs_module_missing")
		}
	}
	for k := range c.Section.Params {
		if strings.HasPrefix(k, "no such") {
			return no("share.parameter_invalid")
		}
	}
	return samba.Fact{Path: dir, Missing: !f.Dirs[dir]}
}

// SyncAccounts implements [samba.Driver].
func (f *Fake) SyncAccounts(ctx context.Context, c samba.AccountChange) error {
	if c.Empty() {
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
	}
	return f.write(ctx, "accounts", func() {
		for _, n := range c.RemoveUsers {
			delete(f.users, n)
		}
		for _, n := range c.RemoveGroups {
			delete(f.groups, n)
		}
		for _, u := range c.PutUsers {
			f.users[u.Name] = u
		}
		for _, g := range c.PutGroups {
			g.Members = slices.Clone(g.Members)
			f.groups[g.Name] = g
		}
	})
}

// EnsurePath implements [samba.Driver].
func (f *Fake) EnsurePath(ctx context.Context, dir string) error {
	fact := f.look(samba.Candidate{Section: samba.Section{Params: map[string]string{"path": dir}}, CreatePath: true})
	if fact.Problem != nil {
		return errors.New(fact.Problem.Message)
	}
	if !fact.Missing {
		return nil
	}
	return f.write(ctx, "path", func() { f.Dirs[dir] = true })
}

// PutSections implements [samba.Driver].
func (f *Fake) PutSections(ctx context.Context, sections []samba.Section) error {
	for _, s := range sections {
		if err := s.Validate(); err != nil {
			return err
		}
		if err := f.foreign(s.Name); err != nil {
			return err
		}
	}
	if len(sections) == 0 {
		return nil
	}
	return f.write(ctx, "put", func() {
		for _, s := range sections {
			f.sections[samba.FoldName(s.Name)] = clone(s)
		}
	})
}

// RemoveSections implements [samba.Driver].
func (f *Fake) RemoveSections(ctx context.Context, names []string) error {
	found := false
	for _, n := range names {
		if err := f.foreign(n); err != nil {
			return err
		}
		_, ok := f.sections[samba.FoldName(n)]
		found = found || ok
	}
	if !found {
		return ctx.Err()
	}
	return f.write(ctx, "remove", func() {
		for _, n := range names {
			delete(f.sections, samba.FoldName(n))
		}
	})
}

func (f *Fake) foreign(name string) error {
	if s, ok := f.sections[samba.FoldName(name)]; ok && s.ID == "" {
		return fmt.Errorf("fake: %q: %w", s.Name, samba.ErrForeign)
	}
	return nil
}

// CloseShares implements [samba.Driver].
func (f *Fake) CloseShares(ctx context.Context, names []string) error {
	return f.write(ctx, "close", func() {
		for _, n := range names {
			f.Closed = append(f.Closed, n)
			delete(f.Connected, samba.FoldName(n))
		}
	})
}
