package samba

import (
	"fmt"
	"slices"
	"strings"
)

// Taken tells which names and ids are in use by accounts outside our care. Names are folded.
type Taken struct {
	Users, Groups     map[string]bool
	UserIDs, GroupIDs map[int]bool
}

// Accounts are Unix accounts that Samba knows. Users are sorted by name, and so are groups.
type Accounts struct {
	Users  []User
	Groups []Group
}

// User is a Unix account and its entry in passdb.
type User struct {
	Name string
	// ID is the Unix uid; 0 when only passdb knows the user.
	ID       int
	FullName string
	// NTHash is the password's, upper-case hex; empty when passdb does not know the user.
	NTHash string `json:"-"`
	// Enabled is false without an entry in passdb.
	Enabled bool
}

// String leaves out the hash, which is as good as the password.
func (u User) String() string {
	return fmt.Sprintf("%s(%d, password %t, enabled %t)", u.Name, u.ID, u.NTHash != "", u.Enabled)
}

// Group is a Unix group. Members are sorted.
type Group struct {
	Name    string
	ID      int
	Members []string
}

// Equal reports whether two groups say the same.
func (g Group) Equal(o Group) bool {
	return g.Name == o.Name && g.ID == o.ID && slices.Equal(g.Members, o.Members)
}

// AccountChange is one batch. Puts replace the account of that name.
type AccountChange struct {
	PutUsers     []User
	PutGroups    []Group
	RemoveUsers  []string
	RemoveGroups []string
}

// Empty reports whether there is nothing to do.
func (c AccountChange) Empty() bool {
	return len(c.PutUsers)+len(c.PutGroups)+len(c.RemoveUsers)+len(c.RemoveGroups) == 0
}

// Validate reports text that the files of accounts would read as something else. It is the last line of defence for
// drivers; package reconcile gives people the reasons.
func (c AccountChange) Validate() error {
	for _, u := range c.PutUsers {
		if !AccountName(u.Name) || u.ID <= 0 || !PlainText(u.FullName) || strings.ContainsAny(u.FullName, ":") || !ValidHash(u.NTHash) {
			return fmt.Errorf("samba: the user %q cannot be written", u.Name)
		}
	}
	for _, g := range c.PutGroups {
		if !AccountName(g.Name) || g.ID <= 0 || slices.ContainsFunc(g.Members, func(m string) bool { return !AccountName(m) }) {
			return fmt.Errorf("samba: the group %q cannot be written", g.Name)
		}
	}
	return nil
}

// AccountName reports whether passwd(5), smbpasswd(5) and lists in smb.conf(5) take s as one name.
func AccountName(s string) bool {
	return s != "" && len(s) <= 64 && PlainText(s) && !strings.ContainsAny(s, " \t:,;/\\\"'%@+&#!*?<>[]()|=$`~") && s[0] != '-' && s[0] != '.'
}

// ValidHash reports whether h is an NT hash in upper-case hex, or empty for none.
func ValidHash(h string) bool {
	return h == "" || len(h) == 32 && strings.Trim(h, "0123456789ABCDEF") == ""
}
