package samba

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// WriteConfig makes the instance's directories and its smb.conf. It changes nothing that is right already, so that it
// may run beside a living smbd. The file holds only [global]: sections live in the registry.
func (i *Instance) WriteConfig(ctx context.Context) error {
	if err := i.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Clients' processes enter these after they have become another user; smbd narrows what has to be narrow.
	dirs := []string{i.Dir, i.LockDir(), i.StateDir(), i.CacheDir(), i.PIDDir(), i.path("ncalrpc"), i.LogDir(), i.path("winbindd")}
	if i.NSS == NSSWrapper {
		dirs = append(dirs, filepath.Dir(i.NSSFile("passwd")))
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("samba: %w", err)
		}
	}
	if err := os.MkdirAll(i.PrivateDir(), 0o700); err != nil {
		return fmt.Errorf("samba: %w", err)
	}
	if i.NSS == NSSWrapper {
		if err := i.seedNSS(); err != nil {
			return err
		}
	}
	want := i.render()
	if have, err := os.ReadFile(i.ConfigFile()); err == nil && bytes.Equal(have, want) {
		return nil
	}
	return replaceFile(i.ConfigFile(), want, 0o644)
}

// render returns smb.conf. [Instance.Validate] has made sure that no value can end its line or hold a macro.
func (i *Instance) render() []byte {
	var b strings.Builder
	b.WriteString("# Written by smbgw at every start; do not edit. Shares and extra [global] parameters live in the\n" +
		"# registry: net --configfile=" + i.ConfigFile() + " conf list\n[global]\n")
	set := func(key, value string) { fmt.Fprintf(&b, "\t%s = %s\n", key, value) }
	set("server role", "standalone server")
	set("security", "user")
	set("passdb backend", "tdbsam")
	set("workgroup", orDefault(i.Workgroup, "WORKGROUP"))
	if i.NetbiosName != "" {
		set("netbios name", i.NetbiosName)
	}
	set("server string", "PVE SMB Gateway")

	set("private dir", i.PrivateDir())
	set("lock directory", i.LockDir())
	set("state directory", i.StateDir())
	set("cache directory", i.CacheDir())
	set("pid directory", i.PIDDir())
	set("ncalrpc dir", i.path("ncalrpc"))
	// Not the machine's own winbindd, which may serve another Samba.
	set("winbindd socket directory", i.path("winbindd"))
	set("logging", "file")
	set("log file", filepath.Join(i.LogDir(), "log.%m"))
	set("max log size", "5000")
	set("log level", "1")

	set("smb ports", strconv.Itoa(i.Port))
	set("disable netbios", "yes")
	if len(i.Bind) > 0 {
		set("interfaces", strings.Join(i.Bind, " "))
		set("bind interfaces only", "yes")
	}
	set("server min protocol", "SMB2_02")
	set("client min protocol", "SMB2_02")
	set("unix extensions", "no")
	set("wide links", "no")

	set("map to guest", "Never")
	set("restrict anonymous", "2")
	set("obey pam restrictions", "no")
	set("usershare max shares", "0")

	set("load printers", "no")
	set("disable spoolss", "yes")
	set("printing", "bsd")
	set("printcap name", "/dev/null")

	set("registry shares", "yes")
	if os.Geteuid() == 0 {
		// For parameters of [global] only. As a plain user smbd 4.17 panics over it: it reads the registry before it has
		// noticed that it is not root.
		set("include", "registry")
	}
	return []byte(b.String())
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// replaceFile puts content in place by rename, synced, so that a reader or a crash sees the old file or the new one.
func replaceFile(name string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("samba: %w", err)
	}
	defer os.Remove(f.Name()) // in vain after the rename
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("samba: %w", err)
	}
	return nil
}
