package auth

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// rooms whose operations are guarded by a privilege to read and one to change.
var rooms = []string{"Share", "Identity", "Node", "Audit", "Task", "Auth", "Setting"}

// Role is a named set of privileges.
type Role string

// The roles.
const (
	Administrator Role = "administrator" // everything
	Auditor       Role = "auditor"       // reads everything
)

// Privileges returns the sorted privileges of the role; none for an unknown role.
func (r Role) Privileges() []string {
	var out []string
	for _, room := range rooms {
		switch r {
		case Administrator:
			out = append(out, room+".Audit", room+".Modify")
		case Auditor:
			out = append(out, room+".Audit")
		}
	}
	slices.Sort(out)
	return out
}

// covers reports whether held contains all of wanted.
func covers(held, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(p string) bool { return !slices.Contains(held, p) })
}

func intersect(a, b []string) []string {
	out := []string{}
	for _, p := range a {
		if slices.Contains(b, p) {
			out = append(out, p)
		}
	}
	return out
}

// checkPrivileges says what is wrong with the privileges that someone who holds held wants to give to a token.
func checkPrivileges(held, wanted []string) error {
	all := Administrator.Privileges()
	var bad []problem.Field
	for i, p := range wanted {
		pointer := fmt.Sprintf("/privileges/%d", i)
		switch {
		case !slices.Contains(all, p):
			bad = append(bad, problem.Field{Pointer: pointer, Code: CodePrivilegeUnknown, Detail: fmt.Sprintf("There is no privilege %q. GET /auth/me lists those you hold.", p)})
		case !slices.Contains(held, p):
			bad = append(bad, problem.Field{Pointer: pointer, Code: CodePrivilegeNotHeld, Detail: fmt.Sprintf("You do not hold %s yourself, so you cannot give it to a token.", p)})
		}
	}
	return problem.Invalid(bad...)
}

func forbidden(detail string) *problem.Error {
	return problem.New(http.StatusForbidden, problem.CodeForbidden, detail)
}
