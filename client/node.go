package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// NodeSpec is what clients write of a node.
type NodeSpec struct {
	Name string `json:"name"`
	// AdvertisedAddress is where SMB clients reach the node, if not where its agent says.
	AdvertisedAddress string `json:"advertisedAddress,omitempty"`
}

// Node is a machine where an agent manages Samba.
type Node struct {
	Meta
	Name              string     `json:"name"`
	AdvertisedAddress string     `json:"advertisedAddress"`
	ShareRoots        []string   `json:"shareRoots"`
	Address           string     `json:"address"`
	SMBPort           int        `json:"smbPort"`
	Status            NodeStatus `json:"status"`
}

// NodeStatus is what was observed of a node.
type NodeStatus struct {
	Phase           string      `json:"phase"`
	LastSeenAt      *time.Time  `json:"lastSeenAt,omitempty"`
	LinkAddress     string      `json:"linkAddress,omitempty"`
	Hostname        string      `json:"hostname,omitempty"`
	AgentVersion    string      `json:"agentVersion,omitempty"`
	SambaVersion    string      `json:"sambaVersion,omitempty"`
	OS              string      `json:"os,omitempty"`
	Backend         string      `json:"backend,omitempty"`
	NSS             string      `json:"nss,omitempty"`
	SmbdPID         int         `json:"smbdPID,omitempty"`
	SmbdStarted     *time.Time  `json:"smbdStarted,omitempty"`
	SmbdRestarts    int         `json:"smbdRestarts"`
	AppliedRevision string      `json:"appliedRevision,omitempty"`
	Held            []string    `json:"held,omitempty"`
	Conditions      []Condition `json:"conditions"`
}

// EnrolmentSpec asks for an [Enrolment].
type EnrolmentSpec struct {
	Name       string `json:"name"`
	TTLSeconds int    `json:"ttlSeconds,omitempty"` // the server's default if zero
	Replace    bool   `json:"replace,omitempty"`    // the node exists; its machine is enrolled anew
}

// Enrolment is a one-time permission to become a node.
type Enrolment struct {
	UID         string    `json:"uid"`
	Name        string    `json:"name"`
	Node        string    `json:"node,omitempty"` // UID of the node, once there is one
	Used        bool      `json:"used"`
	CreatedAt   time.Time `json:"createdAt"`
	Token       string    `json:"token"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Command     string    `json:"command"`
	Fingerprint string    `json:"fingerprint"`
	Server      string    `json:"server"`
}

// Nodes returns the nodes.
func (c *Client) Nodes() *Collection[NodeSpec, Node] {
	return &Collection[NodeSpec, Node]{c: c, kind: "node", path: "/nodes", names: func(n Node) (string, string) { return n.UID, n.Name }}
}

// Enrol lets a machine become a node, once.
func (c *Client) Enrol(ctx context.Context, spec EnrolmentSpec) (Enrolment, error) {
	var e Enrolment
	err := c.do(ctx, call{method: http.MethodPost, path: "/nodes/enrolments", body: spec, into: &e})
	return e, err
}

// ConfirmRemovals lets a node carry out the removals that it held in the state that etag names.
func (c *Client) ConfirmRemovals(ctx context.Context, uid, etag string) (Node, error) {
	var n Node
	err := c.do(ctx, call{method: http.MethodPost, path: "/nodes/" + url.PathEscape(uid) + "/confirm-removals", ifMatch: etag, into: &n})
	return n, err
}
