package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// NodeSpec is what clients write of a node.
type NodeSpec struct {
	Name       string   `json:"name"`
	ShareRoots []string `json:"shareRoots,omitempty"`
	Address    string   `json:"address,omitempty"`
	SMBPort    int      `json:"smbPort,omitempty"`
}

// Node is a machine where an agent manages Samba.
type Node struct {
	Meta
	Name       string     `json:"name"`
	ShareRoots []string   `json:"shareRoots"`
	Address    string     `json:"address"`
	SMBPort    int        `json:"smbPort"`
	Status     NodeStatus `json:"status"`
}

// NodeStatus is what was observed of a node.
type NodeStatus struct {
	Phase           string      `json:"phase"`
	LastSeenAt      *time.Time  `json:"lastSeenAt,omitempty"`
	Hostname        string      `json:"hostname,omitempty"`
	AgentVersion    string      `json:"agentVersion,omitempty"`
	SambaVersion    string      `json:"sambaVersion,omitempty"`
	OS              string      `json:"os,omitempty"`
	Backend         string      `json:"backend,omitempty"`
	NSS             string      `json:"nss,omitempty"`
	SmbdPID         int         `json:"smbdPID,omitempty"`
	SmbdStarted     *time.Time  `json:"smbdStarted,omitempty"`
	SmbdRestarts    int         `json:"smbdRestarts"`
	AppliedRevision any         `json:"appliedRevision,omitempty"`
	Held            []string    `json:"held,omitempty"`
	Conditions      []Condition `json:"conditions"`
}

// Enrolment is a one-time permission for a new node.
type Enrolment struct {
	Token       string    `json:"token"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Command     string    `json:"command"`
	Fingerprint string    `json:"fingerprint"`
}

// Nodes returns the nodes.
func (c *Client) Nodes() *Collection[NodeSpec, Node] {
	return &Collection[NodeSpec, Node]{c: c, kind: "node", path: "/nodes", names: func(n Node) (string, string) { return n.UID, n.Name }}
}

// Enrol lets a node of this name join once, within ttl; the server's default if zero.
func (c *Client) Enrol(ctx context.Context, name string, ttl time.Duration) (Enrolment, error) {
	body := map[string]any{"name": name}
	if ttl > 0 {
		body["ttlSeconds"] = int(ttl.Seconds())
	}
	var e Enrolment
	err := c.do(ctx, call{method: http.MethodPost, path: "/nodes/enrolments", body: body, into: &e})
	return e, err
}

// ConfirmRemovals lets a node carry out the removals that it holds.
func (c *Client) ConfirmRemovals(ctx context.Context, uid string) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/nodes/" + url.PathEscape(uid) + "/confirm-removals"})
}
