package passdb

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// primaryGroup is the primary gid of all users, nogroup: rights come from `force user` and from valid users, and no one
// shall share a group with the owner of files by accident.
const primaryGroup = 65534

// ourUser and ourGroup tell the ids whose lines are ours.
func ourUser(id int) bool { return id >= desired.StrangerID && id <= desired.LastUserID }

func ourGroup(id int) bool {
	return id == desired.OwnerID || id >= desired.FirstGroupID && id <= desired.LastGroupID
}

// entry is one line of passwd(5) or group(5). Lines that are neither (comments, compat lines) have an empty name.
type entry struct {
	line   string
	name   string
	id     int
	gecos  string   // passwd only
	member []string // group only
}

// parseNSS reads a passwd or group file. It never fails: what it does not understand it keeps as a foreign line.
func parseNSS(content []byte, isGroup bool) []entry {
	var out []entry
	for line := range strings.Lines(string(content)) {
		e := entry{line: strings.TrimSuffix(line, "\n")}
		f := strings.Split(e.line, ":")
		want := 7
		if isGroup {
			want = 4
		}
		if id, err := strconv.Atoi(fieldOr(f, 2)); err == nil && len(f) == want && f[0] != "" && f[0][0] != '#' && id >= 0 {
			e.name, e.id = f[0], id
			if isGroup {
				e.member = strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			} else {
				e.gecos = f[4]
			}
		}
		out = append(out, e)
	}
	return out
}

func fieldOr(f []string, n int) string {
	if n < len(f) {
		return f[n]
	}
	return ""
}

func userLine(u samba.User) string {
	return fmt.Sprintf("%s:x:%d:%d:%s:/nonexistent:/usr/sbin/nologin", u.Name, u.ID, primaryGroup, u.FullName)
}

func groupLine(g samba.Group) string {
	return fmt.Sprintf("%s:x:%d:%s", g.Name, g.ID, strings.Join(g.Members, ","))
}

// shadowLine locks the account: its password is in passdb alone.
func shadowLine(name string) string { return name + ":!:20000:0:99999:7:::" }

// changeUsers returns the passwd file with the change made. Foreign lines stay byte for byte and in place.
func changeUsers(old []entry, put []samba.User, remove []string) []byte {
	lines := map[string]string{}
	for _, u := range put {
		lines[u.Name] = userLine(u)
	}
	return change(old, lines, remove, ourUser)
}

func changeGroups(old []entry, put []samba.Group, remove []string) []byte {
	lines := map[string]string{}
	for _, g := range put {
		lines[g.Name] = groupLine(g)
	}
	return change(old, lines, remove, ourGroup)
}

func change(old []entry, put map[string]string, remove []string, ours func(int) bool) []byte {
	var b bytes.Buffer
	for _, e := range old {
		line := e.line
		if e.name != "" && ours(e.id) {
			if slices.Contains(remove, e.name) {
				continue
			}
			if l, ok := put[e.name]; ok {
				line = l
				delete(put, e.name)
			}
		}
		b.WriteString(line + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(put)) {
		b.WriteString(put[name] + "\n")
	}
	return b.Bytes()
}

// changeShadow keeps one locked line for each of ours, drops those of users that were ours, and keeps those of others.
func changeShadow(old []byte, was, ours map[string]bool) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(string(old)) {
		name, _, _ := strings.Cut(line, ":")
		if !ours[name] && !was[name] {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	for _, n := range slices.Sorted(maps.Keys(ours)) {
		b.WriteString(shadowLine(n) + "\n")
	}
	return b.Bytes()
}

// replace puts content in place by rename, with mode and the old file's owner, unless it is there already.
func replace(name string, content []byte, mode os.FileMode) error {
	old, err := os.ReadFile(name)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain after the rename
	if _, err = f.Write(content); err == nil {
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
	return err
}
