package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// pathJudge says whether directories may be shared. It resolves the roots once.
type pathJudge struct {
	roots []string // as configured
	real  []string // without symbolic links; "" for a root that is missing
	own   string   // the instance's directory, real
	// parents remembers directories without symbolic links while one Check runs: most shares have the same.
	parents map[string]string
}

func newPathJudge(inst *samba.Instance) (*pathJudge, error) {
	j := &pathJudge{parents: map[string]string{}, roots: inst.ShareRoots, real: make([]string, len(inst.ShareRoots))}
	for n, r := range inst.ShareRoots {
		real, err := filepath.EvalSymlinks(r)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("registry: share root: %w", err)
		}
		j.real[n] = real
	}
	var err error
	if j.own, err = filepath.EvalSymlinks(inst.Dir); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return j, nil
}

// look judges one path as smb.conf would have it.
func (j *pathJudge) look(path string, create bool) samba.Fact {
	no := func(reason, format string, args ...any) samba.Fact {
		return samba.Fact{Problem: &samba.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}}
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return no("share.path_invalid", "The path %q is not absolute and clean. Write it from / on, without . or .. in it.", path)
	}
	real, rest, err := j.resolve(path)
	switch {
	case errors.Is(err, errDangling):
		return no("share.path_outside_roots", "The path %s is a symbolic link to nothing. Correct the link, or choose another path.", path)
	case errors.Is(err, unix.ENOTDIR):
		return no("share.path_not_directory", "A part of the path %s is not a directory. Choose another path.", path)
	case err != nil:
		return no("share.path_unreadable", "The path %s cannot be looked at: %v. Correct it on the node.", path, err)
	}
	full := filepath.Join(real, rest)
	inside := false
	for n, root := range j.real {
		switch {
		case root == "":
			if within(path, j.roots[n]) {
				return no("share.root_missing", "The share root %s does not exist. Create it on the node, or mount it.", j.roots[n])
			}
		case full == root || within(root, full):
			return no("share.path_is_root", "The path %s is a share root or holds one. Choose a directory below %s.", path, j.roots[n])
		case within(full, root) && (real == root || within(real, root)):
			inside = true
		}
	}
	switch {
	case !inside:
		return no("share.path_outside_roots", "The path %s is outside of the share roots %s, or a symbolic link leads out of them. Choose a directory inside.", path, strings.Join(j.roots, ", "))
	case full == j.own || within(full, j.own) || within(j.own, full):
		return no("share.path_reserved", "The path %s is where smbgw keeps its own files. Choose another.", path)
	case rest != "" && !create:
		return no("share.path_missing", "The directory %s does not exist. Create it on the node, or let smbgw create it.", path)
	case rest != "":
		return samba.Fact{Path: full, Missing: true}
	}
	if st, err := os.Stat(full); err != nil || !st.IsDir() {
		return no("share.path_not_directory", "The path %s is not a directory. Choose another path.", path)
	}
	return samba.Fact{Path: full}
}

// within reports whether path lies below dir.
func within(path, dir string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") && path != dir
}

var errDangling = errors.New("dangling symbolic link")

// resolve follows all symbolic links of path. rest is the part that does not exist yet.
func (j *pathJudge) resolve(path string) (real, rest string, err error) {
	parent, base := filepath.Split(path)
	parent = filepath.Clean(parent)
	known, ok := j.parents[parent]
	if ok {
		if st, err := os.Lstat(path); err == nil && st.IsDir() {
			return filepath.Join(known, base), "", nil
		}
	}
	real, rest, err = resolveSlow(path)
	if !ok && err == nil && rest == "" {
		if p, err := filepath.EvalSymlinks(parent); err == nil {
			j.parents[parent] = p
		}
	}
	return real, rest, err
}

func resolveSlow(path string) (real, rest string, err error) {
	for dir := path; ; dir = filepath.Dir(dir) {
		real, err = filepath.EvalSymlinks(dir)
		switch {
		case err == nil:
			return real, strings.TrimPrefix(strings.TrimPrefix(path, dir), "/"), nil
		case !errors.Is(err, fs.ErrNotExist) || dir == "/":
			return "", "", err
		}
		if _, lerr := os.Lstat(dir); lerr == nil {
			return "", "", errDangling
		}
	}
}

// EnsurePath implements [samba.Driver]. The directory appears under its name only once owner and mode are right, so that
// a crash never leaves one that looks like somebody's: what exists is never changed.
func (d *Driver) EnsurePath(_ context.Context, path string) error {
	judge, err := newPathJudge(d.inst)
	if err != nil {
		return err
	}
	f := judge.look(path, true)
	if f.Problem != nil {
		return errors.New(f.Problem.Message)
	}
	if !f.Missing {
		return nil
	}
	uid, gid, err := d.owner()
	if err != nil {
		return err
	}
	for _, real := range judge.real {
		if real == "" || !within(f.Path, real) {
			continue
		}
		// os.Root keeps to the share root even if someone swaps a directory for a link meanwhile.
		root, err := os.OpenRoot(real)
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		defer root.Close()
		return makeShareDir(root, strings.TrimPrefix(f.Path, real+"/"), uid, gid)
	}
	return fmt.Errorf("registry: %s is in no share root", path)
}

// makeShareDir makes name, 2770 and owned by uid and gid, with parents that everyone may walk through.
func makeShareDir(root *os.Root, name string, uid, gid int) error {
	parent, base := filepath.Split(name)
	if parent = filepath.Clean(parent); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
	}
	dir, err := root.OpenRoot(parent)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer dir.Close()
	tmp := ".smbgw-new-" + base // always the same, so that the next try takes up what a crash has left
	if len(tmp) > 255 {
		tmp = tmp[:255]
	}
	err = dir.Mkdir(tmp, 0o700)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil && (uid != os.Geteuid() || gid != os.Getegid()) {
		err = dir.Chown(tmp, uid, gid)
	}
	if err == nil {
		err = dir.Chmod(tmp, 0o770|fs.ModeSetgid)
	}
	if err == nil {
		err = renameNew(dir, tmp, base)
	}
	if err != nil {
		dir.Remove(tmp) // only if it is empty
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// renameNew renames within dir and leaves an existing target alone, an empty directory included.
func renameNew(dir *os.Root, from, to string) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	err = unix.Renameat2(int(d.Fd()), from, int(d.Fd()), to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Some file systems cannot promise that. We have just seen that there is no target.
		err = unix.Renameat(int(d.Fd()), from, int(d.Fd()), to)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil // someone was faster
	}
	return err
}

// owner returns the ids that own new directories.
func (d *Driver) owner() (uid, gid int, err error) {
	switch {
	case os.Geteuid() != 0:
		return os.Geteuid(), os.Getegid(), nil // nobody else's would be possible
	case d.inst.ForceUser == "":
		return desired.OwnerID, desired.OwnerID, nil
	}
	u, err := user.Lookup(d.inst.ForceUser)
	if err != nil {
		return 0, 0, fmt.Errorf("registry: force user: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, err
}
