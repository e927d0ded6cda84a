package passdb

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// record is one line of smbpasswd(5), as `pdbedit -L -w` prints and `pdbedit -i smbpasswd:` reads it.
type record struct {
	name    string
	id      int // -1 when Unix does not know the user
	hash    string
	enabled bool
}

// parseSmbpasswd reads the output of `pdbedit -L -w`. Lines that are no records are skipped: pdbedit mixes in warnings.
func parseSmbpasswd(out []byte) []record {
	var list []record
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) < 6 || f[0] == "" || !strings.HasPrefix(f[4], "[") || !strings.HasSuffix(f[4], "]") {
			continue
		}
		id, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			continue
		}
		r := record{name: f[0], id: int(id), enabled: !strings.Contains(f[4], "D")}
		if id == 1<<32-1 {
			r.id = -1
		}
		if len(f[3]) == 32 && strings.Trim(f[3], "0123456789ABCDEF") == "" {
			r.hash = f[3]
		}
		list = append(list, r)
	}
	return list
}

// renderSmbpasswd writes records for import. Names were checked by the planner; a colon or a newline cannot get here.
func renderSmbpasswd(users []samba.User, now time.Time) []byte {
	var b bytes.Buffer
	for _, u := range users {
		flags := "[U          ]"
		if !u.Enabled {
			flags = "[DU         ]"
		}
		fmt.Fprintf(&b, "%s:%d:%s:%s:%s:LCT-%08X:\n", u.Name, u.ID, strings.Repeat("X", 32), u.NTHash, flags, now.Unix())
	}
	return b.Bytes()
}
