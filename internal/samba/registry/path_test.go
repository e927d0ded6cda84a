package registry_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPathRules(t *testing.T) {
	i := sambatest.New(t)
	root := i.ShareRoots[0]
	outside := filepath.Join(filepath.Dir(root), "outside")
	second := filepath.Join(filepath.Dir(root), "second")
	linked := filepath.Join(filepath.Dir(root), "linked")
	i.ShareRoots = append(i.ShareRoots, linked, filepath.Join(filepath.Dir(root), "not-mounted"), root+"/nested/root", i.Dir)
	must(t, os.Mkdir(outside, 0o755), os.Mkdir(second, 0o755), os.Symlink(second, linked),
		os.MkdirAll(root+"/dir/below", 0o755), os.WriteFile(root+"/file", nil, 0o644), os.MkdirAll(root+"/nested/root/x", 0o755),
		os.Symlink(outside, root+"/escape"), os.Symlink(root+"/dir", root+"/alias"), os.Symlink("/", root+"/slash"),
		os.Symlink("nowhere", root+"/dangling"), os.Symlink("loop", root+"/loop"), os.Symlink(root, root+"/self"))
	d := registry.New(i)
	for path, want := range map[string]string{
		root + "/dir":           "",
		root + "/dir/below":     "",
		root + "/alias":         "", // stays inside
		linked + "/new":         "missing",
		second + "/new":         "missing",
		root + "/new":           "missing",
		root + "/new/below":     "missing",
		root + "/alias/new":     "missing",
		root:                    "share.path_is_root",
		root + "/self":          "share.path_is_root",
		linked:                  "share.path_is_root",
		second:                  "share.path_is_root",
		root + "/nested":        "share.path_is_root",
		root + "/nested/root":   "share.path_is_root",
		root + "/nested/root/x": "",
		root + "/slash":         "share.path_is_root",
		root + "/slash/etc":     "share.path_outside_roots",
		root + "/escape":        "share.path_outside_roots",
		root + "/escape/new":    "share.path_outside_roots",
		root + "/dangling":      "share.path_outside_roots",
		root + "/dangling/x":    "share.path_outside_roots",
		root + "/loop":          "share.path_unreadable",
		root + "/file":          "share.path_not_directory",
		root + "/file/x":        "share.path_not_directory",
		root + "shares":         "share.path_outside_roots",
		outside:                 "share.path_outside_roots",
		"/etc":                  "share.path_outside_roots",
		"/":                     "share.path_is_root",
		"dir":                   "share.path_invalid",
		root + "/":              "share.path_invalid",
		root + "/../outside":    "share.path_invalid",
		"":                      "share.path_invalid",
		i.PrivateDir():          "share.path_reserved",
		i.ShareRoots[2] + "/x":  "share.root_missing",
	} {
		facts, err := d.Check(t.Context(), []samba.Candidate{{CreatePath: true,
			Section: samba.Section{Name: "s", ID: "1", Params: map[string]string{"path": path}}}})
		must(t, err)
		f := facts["s"]
		got := ""
		if f.Missing {
			got = "missing"
		}
		if f.Problem != nil {
			got = f.Problem.Reason
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%+v)", path, got, want, f.Problem)
		}
		if want != "missing" && want != "" {
			if err := d.EnsurePath(t.Context(), path); err == nil {
				t.Errorf("EnsurePath(%s) succeeded", path)
			}
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("something was made outside of the roots: %v", entries)
	}
}

func TestEnsurePathOwnsOnlyWhatItMakes(t *testing.T) {
	i := sambatest.New(t)
	root := i.ShareRoots[0]
	d := registry.New(i)
	// A crash has left the directory that was not ready yet.
	must(t, os.MkdirAll(root+"/a/b", 0o700), os.Mkdir(root+"/a/b/.smbgw-new-c", 0o700))
	must(t, os.Mkdir(root+"/theirs", 0o701))
	must(t, d.EnsurePath(t.Context(), root+"/a/b/c"), d.EnsurePath(t.Context(), root+"/theirs"), d.EnsurePath(t.Context(), root+"/x/y"))
	for path, want := range map[string]struct {
		mode os.FileMode
		uid  int
	}{
		root + "/a":      {0o700, os.Getuid()},
		root + "/a/b/c":  {0o770 | os.ModeSetgid, ownerID()},
		root + "/theirs": {0o701, os.Getuid()},
		root + "/x":      {0o755, os.Getuid()},
		root + "/x/y":    {0o770 | os.ModeSetgid, ownerID()},
	} {
		st, err := os.Stat(path)
		must(t, err)
		if st.Mode()&^os.ModeDir != want.mode || int(st.Sys().(*syscall.Stat_t).Uid) != want.uid {
			t.Errorf("%s: %v uid %d, want %v uid %d", path, st.Mode(), st.Sys().(*syscall.Stat_t).Uid, want.mode, want.uid)
		}
	}
	if _, err := os.Stat(root + "/a/b/.smbgw-new-c"); err == nil {
		t.Error("the unfinished directory is still there")
	}
}

func ownerID() int {
	if os.Getuid() == 0 {
		return desired.OwnerID
	}
	return os.Getuid()
}
