package registry

import (
	"context"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Check implements [samba.Driver]. Paths are looked at every time; what testparm said of a section's text is remembered.
func (d *Driver) Check(ctx context.Context, candidates []samba.Candidate) (map[string]samba.Fact, error) {
	facts := make(map[string]samba.Fact, len(candidates))
	judge, err := newPathJudge(d.inst)
	if err != nil {
		return nil, err
	}
	var ask []samba.Section
	for _, c := range candidates {
		f := judge.look(c.Section.Params["path"], c.CreatePath)
		if f.Problem == nil {
			if f.Problem, err = d.checkModules(ctx, c.Section); err != nil {
				return nil, err
			}
		}
		if f.Problem == nil && needsTestparm(c.Section) {
			ask = append(ask, c.Section)
		}
		facts[c.Section.Name] = f
	}
	problems, err := d.testparm(ctx, ask)
	if err != nil {
		return nil, err
	}
	for name, p := range problems {
		f := facts[name]
		f.Problem = p
		facts[name] = f
	}
	return facts, nil
}
