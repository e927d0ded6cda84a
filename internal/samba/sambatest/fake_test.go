package sambatest

import "testing"

func TestFakeConforms(t *testing.T) {
	Conformance(t, func(t *testing.T) Fixture {
		f := NewFake("/srv/shares")
		return Fixture{Driver: f, Root: "/srv/shares", SetForeign: f.SetForeign, DeleteForeign: f.DeleteForeign}
	})
}
