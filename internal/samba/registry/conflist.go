package registry

import (
	"errors"
	"strconv"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// parseConfList reads the output of `net conf list`: sections as "[name]", parameters as "\tkey = value". A value that
// someone else has put there may hold line breaks; what cannot be a parameter is then taken as part of nothing.
func parseConfList(out []byte) ([]samba.Section, error) {
	var list []samba.Section
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			list = append(list, samba.Section{Name: line[1 : len(line)-1], Params: map[string]string{}})
			continue
		}
		key, value, ok := strings.Cut(line, " = ")
		if !ok || !strings.HasPrefix(key, "\t") {
			if line == "" || len(list) > 0 {
				continue
			}
			// Samba sections may lack a name: parameters before the first one are the registry's own [global].
			return nil, errors.New("registry: net conf list begins with something else than a section")
		}
		if len(list) == 0 {
			return nil, errors.New("registry: net conf list begins with a parameter")
		}
		s := &list[len(list)-1]
		switch key = strings.ToLower(strings.TrimSpace(key)); key {
		case samba.MarkerID:
			s.ID = value
		case samba.MarkerGeneration:
			s.Generation, _ = strconv.ParseInt(value, 10, 64) // another value is drift, and is written again
		case samba.MarkerClosing:
			s.Closing = value == "yes"
		default:
			s.Params[key] = value
		}
	}
	return list, nil
}
