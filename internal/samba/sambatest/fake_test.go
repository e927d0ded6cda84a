package sambatest

import (
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

func TestFakeConforms(t *testing.T) {
	Conformance(t, func(t *testing.T) Fixture {
		f := NewFake("/srv/shares")
		return Fixture{Driver: f, Afresh: func() samba.Driver { return f }, Root: "/srv/shares", SetForeign: f.SetForeign, DeleteForeign: f.DeleteForeign}
	})
}
