package samba

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NSSMode is the way by which Samba's users come to be Unix users as well; Samba needs both.
type NSSMode string

const (
	// NSSExtrausers keeps the accounts in files of libnss-extrausers. It needs root and works for the whole machine.
	NSSExtrausers NSSMode = "extrausers"
	// NSSWrapper keeps the accounts in files that only the instance's own programs see, by LD_PRELOAD of
	// libnss_wrapper. As root smbd really switches users; as anyone else every share needs ForceUser.
	NSSWrapper NSSMode = "nss_wrapper"
)

// ExtrausersDir is the directory that libnss-extrausers has compiled in.
const ExtrausersDir = "/var/lib/extrausers"

// maxDir is the longest Dir in bytes: Samba puts Unix sockets below it, whose paths may be 107 bytes long.
const maxDir = 80

// Instance describes one private Samba: its own state, ports and accounts, beside whatever else runs on the machine.
// It is a value without locks; copy it freely and do not change it once it is in use.
type Instance struct {
	// Dir is absolute and holds everything of the instance: smb.conf, private, lock, state, cache, pid, ncalrpc, log.
	Dir string
	// Port is the TCP port of SMB.
	Port int
	// Bind lists the addresses to listen on. Empty means all.
	Bind []string
	// Workgroup is the NetBIOS workgroup; empty means WORKGROUP.
	Workgroup string
	// NetbiosName is at most 15 bytes; empty means the host's name as Samba derives it.
	NetbiosName string
	// NSS tells where the Unix accounts are.
	NSS NSSMode
	// NSSDir holds passwd and group (and shadow). Empty means [ExtrausersDir], or Dir/nss with [NSSWrapper].
	NSSDir string
	// ForceUser is the Unix user as whom every share acts; empty means smbgw, the share owner. Without root it has to be
	// the user who runs smbd.
	ForceUser string
	// ShareRoots are the directories below which shares may lie. The first is where shares without a path go.
	ShareRoots []string
}

// ConfigFile returns the path of the instance's smb.conf.
func (i *Instance) ConfigFile() string { return i.path("smb.conf") }

// PrivateDir returns the directory of secrets and passdb; it is 0700.
func (i *Instance) PrivateDir() string { return i.path("private") }

// LockDir returns the directory of volatile tdb files.
func (i *Instance) LockDir() string { return i.path("lock") }

// StateDir returns the directory of registry.tdb and other lasting state.
func (i *Instance) StateDir() string { return i.path("state") }

// CacheDir returns the directory of caches that may be lost.
func (i *Instance) CacheDir() string { return i.path("cache") }

// PIDDir returns the directory in which smbd and samba-dcerpcd write smbd.pid and samba-dcerpcd.pid.
func (i *Instance) PIDDir() string { return i.path("pid") }

// LogDir returns the directory of logs; pass it to smbd as -l as well, or it opens the distribution's.
func (i *Instance) LogDir() string { return i.path("log") }

// RegistryFile returns the database in which the sections live.
func (i *Instance) RegistryFile() string { return filepath.Join(i.StateDir(), "registry.tdb") }

// PassdbFile returns the database in which the accounts live.
func (i *Instance) PassdbFile() string { return filepath.Join(i.PrivateDir(), "passdb.tdb") }

// NSSFile returns the path of the passwd, group or shadow file that Samba's accounts are written to.
func (i *Instance) NSSFile(database string) string {
	switch {
	case i.NSSDir != "":
		return filepath.Join(i.NSSDir, database)
	case i.NSS == NSSWrapper:
		return filepath.Join(i.path("nss"), database)
	default:
		return filepath.Join(ExtrausersDir, database)
	}
}

func (i *Instance) path(name string) string { return filepath.Join(i.Dir, name) }

// Env returns the complete environment for every program of the instance, smbd included. It inherits nothing but PATH.
func (i *Instance) Env() []string {
	env := []string{
		"PATH=" + strings.Join(programDirs(), string(os.PathListSeparator)),
		"LC_ALL=C.UTF-8",
		// IPC$ acts here as the client's user, who therefore has to be able to enter it, also where i.Dir lies below a
		// directory that is closed to others.
		"TMPDIR=/tmp",
		i.Mark(),
	}
	if i.NSS == NSSWrapper {
		env = append(env,
			"LD_PRELOAD=libnss_wrapper.so",
			"NSS_WRAPPER_PASSWD="+i.NSSFile("passwd"),
			"NSS_WRAPPER_GROUP="+i.NSSFile("group"))
	}
	return env
}

// Mark is in the environment of every process of the instance, and of no other.
func (i *Instance) Mark() string { return "SMBGW_INSTANCE=" + i.Dir }

// Validate reports what makes the instance unusable, all of it at once. It does no I/O.
func (i *Instance) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := cleanPath(i.Dir); err != nil {
		add("samba: directory %q: %w", i.Dir, err)
	} else if len(i.Dir) > maxDir {
		add("samba: directory %q is longer than %d bytes; sockets below it would not fit", i.Dir, maxDir)
	}
	if i.Port < 1 || i.Port > 65535 {
		add("samba: port %d is not between 1 and 65535", i.Port)
	}
	for _, b := range i.Bind {
		if _, err := netip.ParseAddr(b); err != nil {
			add("samba: bind address %q is not an IP address", b)
		}
	}
	for what, name := range map[string]string{"workgroup": i.Workgroup, "NetBIOS name": i.NetbiosName} {
		if len(name) > 15 || strings.ContainsFunc(name, notNetbios) {
			add("samba: %s %q is not 1 to 15 letters, digits, dots or dashes", what, name)
		}
	}
	if i.NSS != NSSExtrausers && i.NSS != NSSWrapper {
		add("samba: NSS mode %q is neither %s nor %s", i.NSS, NSSExtrausers, NSSWrapper)
	}
	if len(i.ShareRoots) == 0 {
		add("samba: no share root")
	}
	for _, r := range i.ShareRoots {
		if err := cleanPath(r); err != nil {
			add("samba: share root %q: %w", r, err)
		} else if r == "/" {
			add("samba: share root / would share the whole machine")
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func notNetbios(r rune) bool {
	return r > unicode.MaxASCII || !(unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '.')
}

// cleanPath accepts paths that smb.conf takes literally: absolute, clean, without macros, quotes or control characters.
func cleanPath(p string) error {
	switch {
	case !filepath.IsAbs(p) || filepath.Clean(p) != p:
		return errors.New("not an absolute, clean path")
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return errors.New("control characters or invalid UTF-8")
	case strings.ContainsAny(p, `%"\`):
		return errors.New(`%, " and \ have a meaning in smb.conf`)
	case strings.TrimSpace(p) != p:
		return errors.New("space at the end")
	}
	return nil
}
