package client

import (
	"context"
	"net/http"
)

// UserSpec is what clients write of a user.
type UserSpec struct {
	Name     string `json:"name"`
	FullName string `json:"fullName,omitempty"`
	Enabled  *bool  `json:"enabled,omitempty"`
	// Password stays as it is when nil. It is never returned.
	Password *string  `json:"password,omitempty"`
	Groups   []string `json:"groups,omitempty"`
}

// User is a local Samba user.
type User struct {
	Meta
	Name        string     `json:"name"`
	FullName    string     `json:"fullName"`
	Enabled     bool       `json:"enabled"`
	PasswordSet bool       `json:"passwordSet"`
	ID          int        `json:"id"`
	Groups      []string   `json:"groups"`
	Status      UserStatus `json:"status"`
}

// UserStatus is what the nodes have observed of a user.
type UserStatus struct {
	Conditions []Condition `json:"conditions,omitempty"`
}

// GroupSpec is what clients write of a group.
type GroupSpec struct {
	Name    string   `json:"name"`
	Members []string `json:"members,omitempty"`
}

// Group is a local group of Samba users.
type Group struct {
	Meta
	Name    string   `json:"name"`
	ID      int      `json:"id"`
	Members []string `json:"members"`
}

// Users returns the users.
func (c *Client) Users() *Collection[UserSpec, User] {
	return &Collection[UserSpec, User]{c: c, kind: "user", path: "/users", names: func(u User) (string, string) { return u.UID, u.Name }}
}

// Groups returns the groups.
func (c *Client) Groups() *Collection[GroupSpec, Group] {
	return &Collection[GroupSpec, Group]{c: c, kind: "group", path: "/groups", names: func(g Group) (string, string) { return g.UID, g.Name }}
}

// ImportUsers starts the import of users from CSV and returns the task that does it.
func (c *Client) ImportUsers(ctx context.Context, csv []byte) (Task, error) {
	var started struct {
		TaskUID string `json:"taskUID"`
	}
	err := c.do(ctx, call{method: http.MethodPost, path: "/users/import", body: raw{"text/csv", csv}, into: &started})
	if err != nil {
		return Task{}, err
	}
	return c.Tasks().Get(ctx, started.TaskUID)
}
