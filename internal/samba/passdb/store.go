package passdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Store keeps the accounts of one instance. It caches what it has read; only one goroutine may use it at a time.
type Store struct {
	inst *samba.Instance
	// system are the machine's own passwd and group, which we only read.
	systemDir string

	stamp    string
	accounts samba.Accounts
	taken    samba.Taken
}

// New returns the store of inst. It does no I/O.
func New(inst *samba.Instance) *Store { return &Store{inst: inst, systemDir: "/etc"} }

// Observe returns our accounts, and the names and ids that others use. It reads again only when a file has changed.
func (s *Store) Observe(ctx context.Context) (samba.Accounts, samba.Taken, error) {
	stamp := s.stampFiles()
	if stamp == s.stamp {
		return s.accounts, s.taken, nil
	}
	accounts, taken, err := s.read(ctx)
	if err != nil {
		return samba.Accounts{}, samba.Taken{}, err
	}
	s.stamp, s.accounts, s.taken = stamp, accounts, taken
	return accounts, taken, nil
}

// stampFiles names one version of all files that Observe reads. tdb sets the mtime at the end of every transaction.
func (s *Store) stampFiles() string {
	var b strings.Builder
	for _, name := range []string{s.inst.PassdbFile(), s.inst.NSSFile("passwd"), s.inst.NSSFile("group"), s.system("passwd"), s.system("group")} {
		if st, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d/%d/%d ", st.Sys().(*syscall.Stat_t).Ino, st.Size(), st.ModTime().UnixNano())
		} else {
			b.WriteString("none ")
		}
	}
	return b.String()
}

func (s *Store) system(database string) string { return filepath.Join(s.systemDir, database) }

func (s *Store) read(ctx context.Context) (samba.Accounts, samba.Taken, error) {
	var acc samba.Accounts
	taken := samba.Taken{Users: map[string]bool{}, Groups: map[string]bool{}, UserIDs: map[int]bool{}, GroupIDs: map[int]bool{}}
	users, groups, err := s.readNSS()
	if err != nil {
		return acc, taken, err
	}
	if err := s.readSystem(&taken); err != nil {
		return acc, taken, err
	}
	byName := map[string]*samba.User{}
	foreign := map[string]bool{}
	for _, e := range users {
		switch {
		case e.name == "":
		case ourUser(e.id):
			if byName[e.name] == nil {
				byName[e.name] = &samba.User{Name: e.name, ID: e.id, FullName: e.gecos}
			}
		default:
			foreign[e.name] = true
			taken.Users[samba.FoldName(e.name)], taken.UserIDs[e.id] = true, true
		}
	}
	for _, e := range groups {
		switch {
		case e.name == "":
		case ourGroup(e.id):
			slices.Sort(e.member)
			acc.Groups = append(acc.Groups, samba.Group{Name: e.name, ID: e.id, Members: e.member})
		default:
			taken.Groups[samba.FoldName(e.name)], taken.GroupIDs[e.id] = true, true
		}
	}
	records, err := s.list(ctx)
	if err != nil {
		return acc, taken, err
	}
	for _, r := range records {
		u := byName[r.name]
		switch {
		case u != nil:
			u.NTHash, u.Enabled = r.hash, r.enabled && r.hash != ""
		case !foreign[r.name] && (r.id == -1 || ourUser(r.id)):
			// Without a Unix account it can log in nowhere: what a crash or a lost file has left of one of ours.
			byName[r.name] = &samba.User{Name: r.name, NTHash: r.hash, Enabled: r.enabled}
		}
	}
	for _, u := range byName {
		acc.Users = append(acc.Users, *u)
	}
	slices.SortFunc(acc.Users, func(a, b samba.User) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(acc.Groups, func(a, b samba.Group) int { return strings.Compare(a.Name, b.Name) })
	return acc, taken, nil
}

// readSystem adds the accounts of /etc to taken, unless libnss_wrapper hides them from the instance.
func (s *Store) readSystem(taken *samba.Taken) error {
	if s.inst.NSS == samba.NSSWrapper {
		return nil
	}
	users, err := readFile(s.system("passwd"))
	if err != nil {
		return err
	}
	groups, err := readFile(s.system("group"))
	if err != nil {
		return err
	}
	for _, e := range parseNSS(users, false) {
		taken.Users[samba.FoldName(e.name)], taken.UserIDs[e.id] = true, true
	}
	for _, e := range parseNSS(groups, true) {
		taken.Groups[samba.FoldName(e.name)], taken.GroupIDs[e.id] = true, true
	}
	return nil
}

func (s *Store) readNSS() (users, groups []entry, err error) {
	p, err := readFile(s.inst.NSSFile("passwd"))
	if err != nil {
		return nil, nil, err
	}
	g, err := readFile(s.inst.NSSFile("group"))
	if err != nil {
		return nil, nil, err
	}
	return parseNSS(p, false), parseNSS(g, true), nil
}

// readFile returns the content, or none if there is no such file.
func readFile(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("passdb: %w", err)
	}
	return b, nil
}

// list returns all of passdb.
func (s *Store) list(ctx context.Context) ([]record, error) {
	if _, err := os.Stat(s.inst.PassdbFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // pdbedit would make it
	}
	out, err := s.inst.Run(ctx, nil, "pdbedit", "-L", "-w")
	if err != nil {
		return nil, fmt.Errorf("passdb: %w", err)
	}
	return parseSmbpasswd(out.Stdout), nil
}

// Apply makes one batch of changes: first whoever goes loses passdb, then the Unix entries change, then whoever comes or
// changed gets passdb, in one import. Done twice it is done once; after a crash at any point Observe shows the rest.
func (s *Store) Apply(ctx context.Context, c samba.AccountChange) error {
	if c.Empty() {
		return nil
	}
	if err := c.Validate(); err != nil {
		return err
	}
	have, _, err := s.Observe(ctx)
	if err != nil {
		return err
	}
	s.stamp = "" // whatever happens, look again
	users := map[string]samba.User{}
	for _, u := range have.Users {
		users[u.Name] = u
	}
	drop := slices.Clone(c.RemoveUsers)
	var imports []samba.User
	for _, u := range c.PutUsers {
		old, known := users[u.Name]
		// A SID is made from the uid once; a user who lost the password must not keep it.
		if u.NTHash == "" || known && old.ID != u.ID {
			drop = append(drop, u.Name)
			old.NTHash = ""
		}
		if u.NTHash != "" && (old.NTHash != u.NTHash || old.Enabled != u.Enabled) {
			imports = append(imports, u)
		}
	}
	for _, name := range drop {
		if users[name].NTHash == "" && !users[name].Enabled && users[name].ID != 0 {
			continue // not in passdb
		}
		if _, known := users[name]; !known {
			continue
		}
		if _, err := s.inst.Run(ctx, nil, "pdbedit", "-x", "-u", name); err != nil {
			return fmt.Errorf("passdb: remove user %s: %w", name, err)
		}
	}
	if err := s.writeNSS(c); err != nil {
		return fmt.Errorf("passdb: %w", err)
	}
	return s.importUsers(ctx, imports)
}

func (s *Store) writeNSS(c samba.AccountChange) error {
	users, groups, err := s.readNSS()
	if err != nil {
		return err
	}
	passwd := changeUsers(users, c.PutUsers, c.RemoveUsers)
	if err := replace(s.inst.NSSFile("passwd"), passwd, 0o644); err != nil {
		return err
	}
	if err := replace(s.inst.NSSFile("group"), changeGroups(groups, c.PutGroups, c.RemoveGroups), 0o644); err != nil {
		return err
	}
	if s.inst.NSS != samba.NSSExtrausers {
		return nil
	}
	was, ours := ourNames(users), ourNames(parseNSS(passwd, false))
	old, err := readFile(s.inst.NSSFile("shadow"))
	if err != nil {
		return err
	}
	return replace(s.inst.NSSFile("shadow"), changeShadow(old, was, ours), 0o600)
}

// ourNames returns the names of our users among the lines of a passwd file.
func ourNames(entries []entry) map[string]bool {
	names := map[string]bool{}
	for _, e := range entries {
		if e.name != "" && ourUser(e.id) {
			names[e.name] = true
		}
	}
	return names
}

// bulk is the number of users from which an import is synced to disk once, at its end, and not several times for each
// user, which takes a busy disk 10 ms and more. Only a power cut in that second could harm passdb.
const bulk = 20

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// importUsers writes passdb entries in one run. The file with the hashes is in the private directory, and goes.
func (s *Store) importUsers(ctx context.Context, users []samba.User) error {
	if len(users) == 0 {
		return nil
	}
	if err := s.checkNSS(); err != nil {
		return err
	}
	name := filepath.Join(s.inst.PrivateDir(), "import.smbpasswd") // always the same, so that a crash leaves but one
	defer os.Remove(name)
	if err := replace(name, renderSmbpasswd(users, time.Now()), 0o600); err != nil {
		return fmt.Errorf("passdb: %w", err)
	}
	var env []string
	if len(users) >= bulk {
		env = []string{"TDB_NO_FSYNC=1"}
	}
	out, err := s.inst.RunEnv(ctx, env, nil, "pdbedit", "-i", "smbpasswd:"+name)
	if err == nil && env != nil {
		err = syncFile(s.inst.PassdbFile())
	}
	if err != nil {
		return fmt.Errorf("passdb: %w", err)
	}
	// pdbedit exits 0 whatever it could not import: look.
	have, _, err := s.Observe(ctx)
	if err != nil {
		return err
	}
	byName := map[string]samba.User{}
	for _, u := range have.Users {
		byName[u.Name] = u
	}
	var missing []string
	for _, u := range users {
		if got := byName[u.Name]; got.NTHash != u.NTHash || got.Enabled != u.Enabled {
			missing = append(missing, u.Name)
		}
	}
	if len(missing) > 0 {
		s.stamp = ""
		return fmt.Errorf("passdb: pdbedit did not import %d of %d users, %s first: %s", len(missing), len(users), missing[0],
			strings.TrimSpace(string(out.Stderr)))
	}
	return nil
}

// checkNSS tells when the accounts that we write are not those that the machine reads.
func (s *Store) checkNSS() error {
	if s.inst.NSS != samba.NSSExtrausers || s.inst.NSSDir != "" {
		return nil
	}
	conf, err := os.ReadFile(s.system("nsswitch.conf"))
	if err != nil {
		return fmt.Errorf("passdb: %w", err)
	}
	for _, db := range []string{"passwd", "group"} {
		if !nssHas(string(conf), db, "extrausers") {
			return fmt.Errorf("passdb: nsswitch.conf lacks extrausers in its line %q: install the package libnss-extrausers and run smbgw agent setup", db)
		}
	}
	return nil
}

func nssHas(conf, database, service string) bool {
	for line := range strings.Lines(conf) {
		line, _, _ = strings.Cut(line, "#")
		if db, services, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(db) == database {
			return slices.Contains(strings.Fields(services), service)
		}
	}
	return false
}

// EnableExtrausers adds extrausers to the lines passwd, group and shadow of the nsswitch.conf at path, behind what is
// there, and reports whether that changed anything. What else the file says stays.
func EnableExtrausers(path string) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	var out strings.Builder
	for line := range strings.Lines(string(old)) {
		text, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		db, _, ok := strings.Cut(text, ":")
		if db = strings.TrimSpace(db); ok && slices.Contains([]string{"passwd", "group", "shadow"}, db) && !nssHas(text, db, "extrausers") {
			line = strings.TrimRight(text, " \t") + " extrausers"
			if comment != "" {
				line += " #" + comment
			}
			line += "\n"
		}
		out.WriteString(line)
	}
	if out.String() == string(old) {
		return false, nil
	}
	tmp := path + ".smbgw"
	defer os.Remove(tmp) // in vain after the rename
	if err := os.WriteFile(tmp, []byte(out.String()), 0o644); err != nil {
		return false, err
	}
	return true, os.Rename(tmp, path)
}
