package identity

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

func TestReadImport(t *testing.T) {
	for _, c := range []struct {
		file string
		want importLine
	}{
		{"anna;pass;Anna;staff,it", importLine{1, "anna", "pass", "Anna", []string{"staff", "it"}, ""}},
		{"anna,pass,Anna,\"staff,it\"", importLine{1, "anna", "pass", "Anna", []string{"staff", "it"}, ""}},
		{"anna\tpass\tAnna\tstaff it", importLine{1, "anna", "pass", "Anna", []string{"staff", "it"}, ""}},
		{"anna", importLine{1, "anna", "", "", nil, ""}},
		{" anna ; pa ss ; Anna Smith ;", importLine{1, "anna", " pa ss ", "Anna Smith", nil, ""}},
		{"\"anna\";\"a;\"\"b,\";Anna", importLine{1, "anna", "a;\"b,", "Anna", nil, ""}},
		{"Name,groups,Full Name\nanna,staff,Anna", importLine{2, "anna", "", "Anna", []string{"staff"}, ""}},
		{"\r\n\r\nanna;pass\r\n", importLine{3, "anna", "pass", "", nil, ""}},
	} {
		lines, err := readImport([]byte(c.file))
		if err != nil || len(lines) != 1 {
			t.Errorf("%q: %+v, %v", c.file, lines, err)
			continue
		}
		got := lines[0]
		if got.line != c.want.line || got.name != c.want.name || got.password != c.want.password || got.fullName != c.want.fullName ||
			!slices.Equal(got.groups, c.want.groups) || got.bad != "" {
			t.Errorf("%q: %+v, want %+v", c.file, got, c.want)
		}
	}
}

// FuzzReadImport: whatever comes in, a row is either refused or keeps the rules, and lines come in order.
func FuzzReadImport(f *testing.F) {
	for _, s := range []string{"anna;password;Anna;staff,it\n", "name,password\nanna,\"a\"\"b\"\n", "\ufeffa;b\r\n\"", "\xff\xfe", "a\tb\n\n\"c", "name\n", ";;;;;", "a,b;c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines, err := readImport(raw)
		if err != nil {
			if problem.From(err).Status != 422 {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if len(lines) == 0 || len(lines) > maxImportRows {
			t.Fatalf("%d lines", len(lines))
		}
		last := 0
		for _, l := range lines {
			if l.line <= last {
				t.Fatalf("line %d behind line %d", l.line, last)
			}
			last = l.line
			row := judge(l)
			shown := printable(row.Name)
			if !utf8.ValidString(shown) || strings.ContainsAny(shown, "\n\r\x00") {
				t.Fatalf("shown %q", shown)
			}
			if row.Bad != "" {
				continue
			}
			if checkName(kindUser, row.Name) != nil || checkFullName(row.FullName) != nil || (row.NTHash != "" && len(row.NTHash) != 32) {
				t.Fatalf("%+v", row)
			}
		}
	})
}
