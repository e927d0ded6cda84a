package registry

import (
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/sambatest"
)

// TestOwnWritesAreReadBack: what the driver has written is believed, but not for long, however many writes follow.
func TestOwnWritesAreReadBack(t *testing.T) {
	i := sambatest.New(t)
	d := New(i)
	put := func(name string) {
		t.Helper()
		s := samba.Section{Name: name, ID: name, Generation: 1, Params: map[string]string{"path": "/x"}}
		if err := d.PutSections(t.Context(), []samba.Section{s}); err != nil {
			t.Fatal(err)
		}
	}
	observe := func() int {
		t.Helper()
		st, err := d.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(st.Sections)
	}
	put("one")
	first := d.until
	if left := time.Until(first); left > believeOwn || left <= 0 {
		t.Errorf("believed for %v", left)
	}
	put("two")
	if !d.until.Equal(first) {
		t.Error("a second write puts off the reading back of the first")
	}
	d.sections = d.sections[:1] // a belief that is wrong
	if observe() != 1 {
		t.Error("the registry is listed at once after a write of our own")
	}
	d.until = time.Now()
	if observe() != 2 || time.Until(d.until) <= believeOwn {
		t.Error("the registry is not listed when it is time")
	}
}
