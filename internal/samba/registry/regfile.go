package registry

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

const smbconfKey = `HKEY_LOCAL_MACHINE\SOFTWARE\Samba\smbconf`

// regFile is a file for `net registry import`, which carries it out in one transaction, line by line.
type regFile struct{ b bytes.Buffer }

func (r *regFile) empty() bool { return r.b.Len() == 0 }

func (r *regFile) bytes() []byte {
	return append([]byte("Windows Registry Editor Version 5.00\n\n"), append(bytes.Clone(r.b.Bytes()), '\n')...)
}

// deleteSection must be asked only for keys that exist.
func (r *regFile) deleteSection(name string) error {
	if err := samba.ValidateSectionName(name); err != nil {
		return err
	}
	fmt.Fprintf(&r.b, "[-%s\\%s]\n\n", smbconfKey, name)
	return nil
}

// putSection writes the values in which s differs from old, which is the section of now, or has no ID if there is none.
// Keeping the key matters: every key that comes or goes rewrites the list of all keys, which makes batches quadratic.
func (r *regFile) putSection(old, s samba.Section) error {
	if err := s.Validate(); err != nil {
		return err
	}
	have, want := map[string]string{}, values(s)
	if old.ID != "" {
		have = values(old)
	}
	fmt.Fprintf(&r.b, "[%s\\%s]\n", smbconfKey, s.Name)
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, keep := want[k]; !keep {
			fmt.Fprintf(&r.b, "\"%s\"=-\n", escapeValue.Replace(k))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if v, ok := have[k]; !ok || v != want[k] {
			fmt.Fprintf(&r.b, "\"%s\"=\"%s\"\n", k, escapeValue.Replace(want[k]))
		}
	}
	r.b.WriteString("\n")
	return nil
}

// odd reports whether a section holds keys that cannot be written into a file.
func odd(s samba.Section) bool {
	for k := range s.Params {
		if k == "" || !samba.PlainText(k) {
			return true
		}
	}
	return false
}

// values returns the parameters and markers of s.
func values(s samba.Section) map[string]string {
	m := maps.Clone(s.Params)
	m[samba.MarkerID] = s.ID
	m[samba.MarkerGeneration] = strconv.FormatInt(s.Generation, 10)
	if s.Closing {
		m[samba.MarkerClosing] = "yes"
	}
	return m
}

var escapeValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
