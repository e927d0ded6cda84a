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
			Afresh: func() samba.Driver { return registry.New(i) },
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

// TestMangledSections: whatever someone has put into a section of ours, one put makes it right, and leaves the rest.
func TestMangledSections(t *testing.T) {
	for what, args := range map[string][]string{
		"line break in a value": {"comment", "a\n\tfake = value\n[fake]\n\tx = y"},
		"include":               {"include", "/nowhere.conf"},
		"spelling":              {"Read Only", "no"},
		"new parameter":         {"browseable", "no"},
		"empty value":           {"comment", ""},
		"not UTF-8":             {"comment", "a\xffb"},
		"control in a key":      {"a\x01b", "x"},
		"quote in a key":        {`a"b`, "x"},
		"backslash in a key":    {`a\b`, "x"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			i := sambatest.New(t)
			run(t, i, "net", "conf", "setparm", "hand", "comment", "by hand")
			want := samba.Section{Name: "s", ID: "1", Generation: 1, Params: map[string]string{"path": "/x", "comment": "ours"}}
			d := registry.New(i)
			must(t, d.PutSections(t.Context(), []samba.Section{want}))
			hand := run(t, i, "net", "conf", "showshare", "hand")
			// Samba refuses some of these by itself, which is as good.
			i.Run(t.Context(), nil, "net", append([]string{"conf", "setparm", "s"}, args...)...)
			must(t, d.PutSections(t.Context(), []samba.Section{want}))
			st, err := registry.New(i).Observe(t.Context())
			must(t, err)
			if len(st.Sections) != 2 || !st.Sections[1].Equal(want) && !st.Sections[0].Equal(want) {
				t.Errorf("%+v", st.Sections)
			}
			if now := run(t, i, "net", "conf", "showshare", "hand"); now != hand {
				t.Errorf("the other section changed: %s", now)
			}
		})
	}
}
