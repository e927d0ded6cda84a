package registry

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

func FuzzParseConfList(f *testing.F) {
	f.Add([]byte("[a b]\n\tpath = /srv/x\n\tsmbgw:id = 1\n\tsmbgw:generation = 3\n\n[t]\n\tcomment = a = b\n\n"))
	f.Add([]byte("[global]\n\tlog level = 1\n\n[x]\n\tcomment = two\nlines\n\n"))
	f.Add([]byte("\tpath = /srv\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		list, err := parseConfList(out)
		if err != nil {
			return
		}
		for _, s := range list {
			if strings.Contains(s.Name, "\n") || s.Params == nil {
				t.Errorf("%+v", s)
			}
			if s.Params[samba.MarkerID] != "" {
				t.Errorf("a marker among the parameters: %+v", s)
			}
		}
	})
}

// FuzzRegFile holds that no section can say more than one key and its own values.
func FuzzRegFile(f *testing.F) {
	f.Add("data", "path", "/srv/data")
	f.Add("a]\n[b", `x"="y`, "a\\\nb")
	f.Fuzz(func(t *testing.T, name, key, value string) {
		var r regFile
		if r.putSection(samba.Section{}, samba.Section{Name: name, ID: "u", Generation: 1, Params: map[string]string{key: value}}) != nil {
			return
		}
		lines := strings.Split(strings.TrimSuffix(r.b.String(), "\n\n"), "\n")
		for n, l := range lines[1:] { // the parameter to the end
			if !strings.HasPrefix(l, `"smbgw:`) {
				lines[n+1], lines[3] = lines[3], l
				break
			}
		}
		if len(lines) != 4 || lines[0] != "["+smbconfKey+`\`+name+"]" {
			t.Fatalf("%q", lines)
		}
		// As Samba reads it: a quoted key, =, a quoted value with \ before \ and ".
		rest, ok := strings.CutPrefix(lines[3], `"`+key+`"="`)
		if !ok || !strings.HasSuffix(rest, `"`) {
			t.Fatalf("%q", lines[3])
		}
		var got strings.Builder
		body := rest[:len(rest)-1]
		for n := 0; n < len(body); n++ {
			if body[n] == '"' {
				t.Fatalf("the value ends early: %q", lines[3])
			}
			if body[n] == '\\' {
				n++
			}
			if n == len(body) {
				t.Fatalf("the value does not end: %q", lines[3])
			}
			got.WriteByte(body[n])
		}
		if got.String() != value {
			t.Fatalf("%q became %q", value, got.String())
		}
	})
}

func FuzzParseTestparm(f *testing.F) {
	f.Add([]byte("Load smb config files from /x\nUnknown parameter encountered: \"foo\"\nIgnoring unknown parameter \"foo\"\nLoaded services file OK.\n"))
	f.Add([]byte("Weak crypto is allowed by GnuTLS (e.g. NTLM as a compatibility fallback)\n\n\xff\n"))
	f.Fuzz(func(t *testing.T, stderr []byte) {
		for _, c := range parseTestparm(stderr) {
			if c == "" || strings.Contains(c, "\n") || !utf8.ValidString(c) {
				t.Errorf("%q", c)
			}
		}
	})
}

func FuzzParseBuild(f *testing.F) {
	f.Add([]byte("   MODULESDIR: /usr/lib/samba\n\nBuiltin modules:\n   vfs_default auth_sam vfs_posixacl\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if dir, _ := parseBuild(out); strings.Contains(dir, "\n") {
			t.Errorf("%q", dir)
		}
	})
}

func TestParseTestparm(t *testing.T) {
	got := parseTestparm([]byte("Load smb config files from /x\nUnknown parameter encountered: \"foo\"\nUnknown parameter encountered: \"foo\"\n\nLoaded services file OK.\nWeak crypto is allowed by GnuTLS\n"))
	if len(got) != 1 || !strings.Contains(got[0], "foo") {
		t.Errorf("%q", got)
	}
}
