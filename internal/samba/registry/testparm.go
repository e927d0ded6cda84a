package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// plain are parameters that package reconcile renders itself; a section of nothing else needs no testparm.
var plain = map[string]bool{"path": true, "comment": true, "read only": true, "browseable": true, "force user": true,
	"create mask": true, "directory mask": true, "valid users": true, "invalid users": true, "read list": true,
	"write list": true, "available": true}

func needsTestparm(s samba.Section) bool {
	for key := range s.Params {
		if !plain[key] {
			return true
		}
	}
	return false
}

// testparm returns the problems that Samba's own parser has with sections, by name. testparm exits 0 whatever it finds
// and does not always name the section, so a batch with complaints is asked again section by section.
func (d *Driver) testparm(ctx context.Context, sections []samba.Section) (map[string]*samba.Problem, error) {
	problems := map[string]*samba.Problem{}
	known := make(map[string]*samba.Problem, len(sections))
	var ask []samba.Section
	for _, s := range sections {
		text := sectionText(s)
		if err := s.Validate(); err != nil {
			problems[s.Name] = &samba.Problem{Reason: "share.parameter_invalid", Message: err.Error() + ". Correct it."}
			continue
		}
		if p, ok := d.verdicts[text]; ok {
			known[text] = p
			if p != nil {
				problems[s.Name] = p
			}
			continue
		}
		ask = append(ask, s)
	}
	if err := d.testparmSplit(ctx, ask, problems, known); err != nil {
		return nil, err
	}
	d.verdicts = known // forgets those that are no candidates any more
	return problems, nil
}

func (d *Driver) testparmSplit(ctx context.Context, sections []samba.Section, problems, known map[string]*samba.Problem) error {
	if len(sections) == 0 {
		return nil
	}
	complaints, err := d.askTestparm(ctx, sections)
	if err != nil {
		return err
	}
	if len(complaints) > 0 && len(sections) > 1 {
		half := len(sections) / 2
		if err := d.testparmSplit(ctx, sections[:half], problems, known); err != nil {
			return err
		}
		return d.testparmSplit(ctx, sections[half:], problems, known)
	}
	for _, s := range sections {
		var p *samba.Problem
		if len(complaints) > 0 {
			p = &samba.Problem{Reason: "share.parameter_invalid",
				Message: fmt.Sprintf("Samba on this node does not accept the share's parameters: %s. Correct or remove them.", strings.Join(complaints, "; "))}
			problems[s.Name] = p
		}
		known[sectionText(s)] = p
	}
	return nil
}

func (d *Driver) askTestparm(ctx context.Context, sections []samba.Section) ([]string, error) {
	global, err := os.ReadFile(d.inst.ConfigFile())
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	var b bytes.Buffer
	for line := range strings.Lines(string(global)) {
		// The candidates are judged alone, not with what the registry holds now.
		if !strings.Contains(line, "= registry") && !strings.Contains(line, "registry shares") {
			b.WriteString(line)
		}
	}
	for _, s := range sections {
		b.WriteString(sectionText(s))
	}
	name := filepath.Join(d.inst.PrivateDir(), "testparm.conf")
	defer os.Remove(name)
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	out, err := d.inst.Run(ctx, nil, "testparm", "-s", name)
	complaints := parseTestparm(out.Stderr)
	if err != nil && len(complaints) == 0 {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return complaints, nil
}

// sectionText is the section as a file has it. Package reconcile has seen to it that no value can end its line.
func sectionText(s samba.Section) string {
	keys := make([]string, 0, len(s.Params))
	for k := range s.Params {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\n", s.Name)
	for _, k := range keys {
		fmt.Fprintf(&b, "\t%s = %s\n", k, s.Params[k])
	}
	return b.String()
}

// harmless are lines that testparm writes to stderr when all is well.
var harmless = regexp.MustCompile(`^(Load smb config files from |Loaded services file OK|Weak crypto is |Server role: |` +
	`Processing section |rlimit_max: |Press enter |# Global parameters|NOTE: Service .* is flagged unavailable|\[\d{4}/\d\d/\d\d )`)

// parseTestparm returns what testparm complains of, without repetitions.
func parseTestparm(stderr []byte) []string {
	var out []string
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
		if line != "" && !harmless.MatchString(line) && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

var moduleName = regexp.MustCompile(`^[a-z0-9_]+$`)

// checkModules looks for the VFS modules a section names. Samba notices only when a client connects.
func (d *Driver) checkModules(ctx context.Context, s samba.Section) (*samba.Problem, error) {
	list := s.Params["vfs objects"] + " " + s.Params["vfs object"]
	for _, m := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '\t' }) {
		name, _, _ := strings.Cut(strings.Trim(m, `"`), ":")
		has, err := d.hasModule(ctx, name)
		if err != nil {
			return nil, err
		}
		if !has {
			return &samba.Problem{Reason: "share.vfs_module_missing",
				Message: fmt.Sprintf("Samba on this node has no VFS module %q. Install the package that has it (on Debian samba-vfs-modules), or remove it from vfs objects.", name)}, nil
		}
	}
	return nil, nil
}

func (d *Driver) hasModule(ctx context.Context, name string) (bool, error) {
	if d.moduleDir == "" {
		out, err := d.inst.Run(ctx, nil, "smbd", "-b")
		if err != nil {
			return false, fmt.Errorf("registry: %w", err)
		}
		dir, builtin := parseBuild(out.Stdout)
		if dir == "" {
			return false, errors.New("registry: smbd -b names no MODULESDIR")
		}
		d.moduleDir, d.builtin = filepath.Join(dir, "vfs"), builtin
	}
	if !moduleName.MatchString(name) {
		return false, nil
	}
	_, err := os.Stat(filepath.Join(d.moduleDir, name+".so"))
	return err == nil || slices.Contains(d.builtin, name), nil
}

// parseBuild reads `smbd -b`: where modules are, and which VFS modules are built in.
func parseBuild(out []byte) (dir string, builtin []string) {
	text := string(out)
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "MODULESDIR:"); ok {
			dir = strings.TrimSpace(rest)
		}
	}
	_, list, _ := strings.Cut(text, "Builtin modules:")
	for _, word := range strings.Fields(list) {
		if m, ok := strings.CutPrefix(word, "vfs_"); ok && moduleName.MatchString(m) {
			builtin = append(builtin, m)
		}
	}
	return dir, builtin
}
