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

func (r *regFile) addSection(s samba.Section) error {
	if err := s.Validate(); err != nil {
		return err
	}
	fmt.Fprintf(&r.b, "[%s\\%s]\n", smbconfKey, s.Name)
	r.value(samba.MarkerID, s.ID)
	r.value(samba.MarkerGeneration, strconv.FormatInt(s.Generation, 10))
	if s.Closing {
		r.value(samba.MarkerClosing, "yes")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Params)) {
		r.value(k, s.Params[k])
	}
	r.b.WriteString("\n")
	return nil
}

var escapeValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func (r *regFile) value(key, value string) {
	fmt.Fprintf(&r.b, "\"%s\"=\"%s\"\n", key, escapeValue.Replace(value))
}
