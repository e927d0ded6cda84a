package passdb

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEnableExtrausers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nsswitch.conf")
	const before = "# comment\npasswd:         files systemd # local first\ngroup: files\nshadow:\tfiles extrausers\nhosts: files dns\n"
	const after = "# comment\npasswd:         files systemd extrausers # local first\ngroup: files extrausers\nshadow:\tfiles extrausers\nhosts: files dns\n"
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		changed, err := EnableExtrausers(file)
		if err != nil || changed != want {
			t.Errorf("changed %v, %v", changed, err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != after {
			t.Errorf("%v\n%s", err, got)
		}
	}
}
