package registry_test

import (
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/registry"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

// run is the administrator at the shell.
func run(t testing.TB, i *samba.Instance, name string, args ...string) string {
	t.Helper()
	out, err := i.Run(t.Context(), nil, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out.Stdout)
}

func TestRegistryConforms(t *testing.T) {
	sambatest.Conformance(t, func(t *testing.T) sambatest.Fixture {
		t.Parallel()
		i := sambatest.New(t)
		return sambatest.Fixture{
			Driver: registry.New(i),
			Root:   i.ShareRoots[0],
			SetForeign: func(s samba.Section) {
				if strings.Contains(run(t, i, "net", "conf", "listshares"), s.Name+"\n") {
					run(t, i, "net", "conf", "delshare", s.Name)
				}
				for key, value := range s.Params {
					run(t, i, "net", "conf", "setparm", s.Name, key, value)
				}
				if s.ID != "" {
					run(t, i, "net", "conf", "setparm", s.Name, samba.MarkerID, s.ID)
					run(t, i, "net", "conf", "setparm", s.Name, samba.MarkerGeneration, "1")
				}
			},
			DeleteForeign: func(name string) { run(t, i, "net", "conf", "delshare", name) },
		}
	})
}
