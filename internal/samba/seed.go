package samba

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// seedNSS makes the files of libnss_wrapper that are missing. Its programs see no other accounts, so the files need
// those that smbd itself looks up: root, nobody, and whoever runs it.
func (i *Instance) seedNSS() error {
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	for _, db := range []struct {
		name string
		ids  []string
		self string // for accounts that are in no file, such as LDAP's
		must []string
	}{
		{"passwd", []string{"0", "65534", uid}, fmt.Sprintf("%s:x:%s:%s::/:/bin/false", orDefault(os.Getenv("USER"), "self"), uid, gid),
			[]string{"root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"}},
		{"group", []string{"0", "65534", gid}, fmt.Sprintf("%s:x:%s:", orDefault(os.Getenv("USER"), "self"), gid),
			[]string{"root:x:0:", "nogroup:x:65534:"}},
	} {
		file := i.NSSFile(db.name)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		system, err := os.ReadFile("/etc/" + db.name)
		if err != nil {
			return fmt.Errorf("samba: %w", err)
		}
		var lines, found []string
		for line := range strings.Lines(string(system)) {
			line = strings.TrimSuffix(line, "\n")
			f := strings.Split(line, ":")
			if len(f) >= 4 && slices.Contains(db.ids, f[2]) && !slices.Contains(found, f[2]) {
				lines, found = append(lines, line), append(found, f[2])
			}
		}
		for _, line := range append(db.must, db.self) {
			if id := strings.Split(line, ":")[2]; !slices.Contains(found, id) {
				lines, found = append(lines, line), append(found, id)
			}
		}
		if err := replaceFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}
