package registry

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/passdb"
)

// rereadAfter is how long observed sections are believed while registry.tdb looks unchanged. tdb sets the file's mtime at
// the end of every transaction, so this is only for file systems and clocks that lie.
const rereadAfter = 10 * time.Minute

// believeOwn is how long after a write of its own the driver believes that the registry holds what it has written. To
// list 1,000 sections takes Samba some 0.3 s, which a person who makes one share after the other would wait for each time.
// What someone else writes in between makes the file look changed, and is seen at once.
const believeOwn = 30 * time.Second

// Driver drives one instance. Only one goroutine may use it at a time.
type Driver struct {
	inst   *samba.Instance
	passdb *passdb.Store

	stamp    string // version of registry.tdb that sections are believed to be in
	until    time.Time
	sections []samba.Section

	moduleDir string                    // where VFS modules are; empty until asked
	builtin   []string                  // VFS modules that are no files
	verdicts  map[string]*samba.Problem // testparm's, by a candidate's text
}

var _ samba.Driver = (*Driver)(nil)

// New returns the driver of inst, whose WriteConfig has run. It does no I/O.
func New(inst *samba.Instance) *Driver {
	return &Driver{inst: inst, passdb: passdb.New(inst), verdicts: map[string]*samba.Problem{}}
}

// Observe implements [samba.Driver]. When nothing has changed it costs a few stat calls.
func (d *Driver) Observe(ctx context.Context) (samba.State, error) {
	var state samba.State
	var err error
	if state.Sections, err = d.observeSections(ctx); err != nil {
		return state, err
	}
	state.Accounts, state.Taken, err = d.passdb.Observe(ctx)
	return state, err
}

func (d *Driver) observeSections(ctx context.Context) ([]samba.Section, error) {
	// Stamped before reading: a change meanwhile makes the next call read again.
	stamp := stampFile(d.inst.RegistryFile())
	if stamp != "" && stamp == d.stamp && time.Now().Before(d.until) {
		return d.sections, nil
	}
	out, err := d.inst.Run(ctx, nil, "net", "conf", "list")
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	sections, err := parseConfList(out.Stdout)
	if err != nil {
		return nil, err
	}
	d.stamp, d.until, d.sections = stamp, time.Now().Add(rereadAfter), sections
	return sections, nil
}

func stampFile(name string) string {
	st, err := os.Stat(name)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d/%d/%d", st.Sys().(*syscall.Stat_t).Ino, st.Size(), st.ModTime().UnixNano())
}

// SyncAccounts implements [samba.Driver].
func (d *Driver) SyncAccounts(ctx context.Context, change samba.AccountChange) error {
	return d.passdb.Apply(ctx, change)
}

// PutSections implements [samba.Driver]. It refuses to write over a section that is not ours.
func (d *Driver) PutSections(ctx context.Context, sections []samba.Section) error {
	return d.change(ctx, sections, nil)
}

// RemoveSections implements [samba.Driver]. It refuses to remove a section that is not ours.
func (d *Driver) RemoveSections(ctx context.Context, names []string) error {
	return d.change(ctx, nil, names)
}

// change puts and removes sections in one transaction of the registry. It writes differences; if Samba does not take
// these, because the section holds what a listing does not tell apart, it writes sections whole.
func (d *Driver) change(ctx context.Context, put []samba.Section, remove []string) error {
	have, err := d.observeSections(ctx)
	if err != nil {
		return err
	}
	byName := make(map[string]samba.Section, len(have))
	for _, s := range have {
		byName[samba.FoldName(s.Name)] = s
	}
	diff, err := compose(byName, put, remove, false)
	if err != nil || diff == nil {
		return err
	}
	d.stamp = "" // whatever happens, look again
	if failed := d.importFile(ctx, diff); failed != nil {
		whole, err := compose(byName, put, remove, true)
		if ctx.Err() != nil || err != nil || bytes.Equal(whole, diff) {
			return failed
		}
		if err := d.importFile(ctx, whole); err != nil {
			return err
		}
	} else {
		d.wrote(put, remove)
	}
	for _, s := range put {
		old, existed := byName[samba.FoldName(s.Name)]
		if existed && !s.Closing && !maps.Equal(old.Params, s.Params) {
			return d.reload(ctx)
		}
	}
	return nil
}

// wrote takes what has just been written for what is there, until it is time to look. However many writes follow each
// other, the first is read back in time.
func (d *Driver) wrote(put []samba.Section, remove []string) {
	gone := make(map[string]bool, len(put)+len(remove))
	for _, name := range remove {
		gone[samba.FoldName(name)] = true
	}
	for _, s := range put {
		gone[samba.FoldName(s.Name)] = true
	}
	now := make([]samba.Section, 0, len(d.sections)+len(put)) // a new one: others may hold the old
	for _, s := range d.sections {
		if !gone[samba.FoldName(s.Name)] {
			now = append(now, s)
		}
	}
	for _, s := range put {
		s.Params = maps.Clone(s.Params)
		now = append(now, s)
	}
	d.stamp, d.sections = stampFile(d.inst.RegistryFile()), now
	if soon := time.Now().Add(believeOwn); soon.Before(d.until) {
		d.until = soon
	}
}

// reload makes smbd's children forget sections as they first saw them. It costs each connected client about 1.5 ms of
// CPU at 1,000 shares; new sections do not need it.
func (d *Driver) reload(ctx context.Context) error { return d.control(ctx, "reload-config") }

// control sends a message to smbd and its children. Without a running smbd there is no one to tell.
func (d *Driver) control(ctx context.Context, args ...string) error {
	out, err := d.inst.Run(ctx, nil, "smbcontrol", append([]string{"smbd"}, args...)...)
	if err != nil && !strings.Contains(string(out.Stderr)+string(out.Stdout), "Can't find pid") {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// compose returns the file to import, nil for nothing to do. have is what is there, by folded name.
func compose(have map[string]samba.Section, put []samba.Section, remove []string, whole bool) ([]byte, error) {
	var reg regFile
	ours := func(name string) (samba.Section, error) {
		old, ok := have[samba.FoldName(name)]
		if ok && old.ID == "" {
			return old, fmt.Errorf("registry: %q: %w", old.Name, samba.ErrForeign)
		}
		return old, nil
	}
	for _, name := range remove {
		old, err := ours(name)
		if err == nil && old.ID != "" { // deleting a key that is not there would cancel the transaction
			err = reg.deleteSection(old.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, s := range put {
		old, err := ours(s.Name)
		if err == nil && old.ID != "" && (old.Name != s.Name || whole || odd(old)) {
			err = reg.deleteSection(old.Name)
			old = samba.Section{}
		}
		if err == nil {
			err = reg.putSection(old, s)
		}
		if err != nil {
			return nil, err
		}
	}
	if reg.empty() {
		return nil, nil
	}
	return reg.bytes(), nil
}

func (d *Driver) importFile(ctx context.Context, content []byte) error {
	name := filepath.Join(d.inst.PrivateDir(), "import.reg") // always the same, so that a crash leaves but one
	defer os.Remove(name)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if _, err := d.inst.Run(ctx, nil, "net", "registry", "import", name); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// CloseShares implements [samba.Driver]. smbd's children have to reload first: by a section that they remember they would
// let a client in again.
func (d *Driver) CloseShares(ctx context.Context, names []string) error {
	if err := d.reload(ctx); err != nil {
		return err
	}
	for _, name := range names {
		if err := samba.ValidateSectionName(name); err != nil {
			return err
		}
		if err := d.control(ctx, "close-share", name); err != nil {
			return err
		}
	}
	return nil
}
