package identity

import (
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// UserSpec is the part of a user that clients write.
type UserSpec struct {
	Name     string `json:"name" doc:"Log-in name; cannot be changed" example:"anna" maxLength:"256"`
	FullName string `json:"fullName,omitempty" example:"Anna Smith" maxLength:"1024"`
	Enabled  *bool  `json:"enabled,omitempty" nullable:"false" default:"true" doc:"A disabled user cannot connect; nothing of theirs is lost"`
	// Password is nil when it shall stay as it is.
	Password *string  `json:"password,omitempty" nullable:"false" writeOnly:"true" format:"password" maxLength:"1024" doc:"Never returned. Left out: stays as it is"`
	Groups   []string `json:"groups,omitempty" nullable:"false" maxItems:"1000" doc:"Names of the groups the user belongs to" example:"[\"staff\"]"`
}

// User is a local Samba user.
type User struct {
	object.Meta
	Name        string   `json:"name"`
	FullName    string   `json:"fullName"`
	Enabled     bool     `json:"enabled"`
	PasswordSet bool     `json:"passwordSet" doc:"Without a password the user cannot connect"`
	ID          int      `json:"id" doc:"Unix uid, from a reserved range; never given to another name"`
	Groups      []string `json:"groups" nullable:"false" doc:"In order of name"`
	Status      Status   `json:"status"`
}

// Status is what the nodes have observed of a user. A condition that nodes report differently shows its worst value.
type Status struct {
	Conditions []object.Condition `json:"conditions" nullable:"false"`
}

// GroupSpec is the part of a group that clients write.
type GroupSpec struct {
	Name    string   `json:"name" doc:"Cannot be changed. Shares name it with a leading @" example:"staff" maxLength:"256"`
	Members []string `json:"members,omitempty" nullable:"false" maxItems:"30000" doc:"Names of users" example:"[\"anna\"]"`
}

// Group is a local group of Samba users.
type Group struct {
	object.Meta
	Name    string   `json:"name"`
	ID      int      `json:"id" doc:"Unix gid, from a reserved range; never given to another name"`
	Members []string `json:"members" nullable:"false" doc:"Names of users, in order"`
}

func (u *User) spec() UserSpec {
	return UserSpec{Name: u.Name, FullName: u.FullName, Enabled: &u.Enabled, Groups: u.Groups}
}

func (g *Group) spec() GroupSpec { return GroupSpec{Name: g.Name, Members: g.Members} }

// userAudit and groupAudit are the forms that the audit trail keeps: no secrets, no status.
type userAudit struct {
	Name            string   `json:"name"`
	FullName        string   `json:"fullName"`
	Enabled         bool     `json:"enabled"`
	ID              int      `json:"id"`
	Groups          []string `json:"groups"`
	PasswordSet     bool     `json:"passwordSet"`
	PasswordChanged bool     `json:"passwordChanged,omitempty"`
}

func (u *User) audit(passwordChanged bool) userAudit {
	return userAudit{u.Name, u.FullName, u.Enabled, u.ID, u.Groups, u.PasswordSet, passwordChanged}
}

type groupAudit struct {
	Name    string   `json:"name"`
	ID      int      `json:"id"`
	Members []string `json:"members"`
}

func (g *Group) audit() groupAudit { return groupAudit{g.Name, g.ID, g.Members} }

// never is the time of a password that was never set.
var never = time.Unix(0, 0).UTC()
