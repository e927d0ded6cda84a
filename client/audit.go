package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// AuditEntry is one recorded change.
type AuditEntry struct {
	Seq        int64           `json:"seq"`
	At         time.Time       `json:"at"`
	Actor      Actor           `json:"actor"`
	RemoteAddr string          `json:"remoteAddr,omitempty"`
	RequestID  string          `json:"requestID,omitempty"`
	Action     string          `json:"action"`
	Kind       string          `json:"kind"`
	UID        string          `json:"uid"`
	Name       string          `json:"name"`
	Before     json.RawMessage `json:"before,omitempty"`
	After      json.RawMessage `json:"after,omitempty"`
	Hash       string          `json:"hash"`
}

// Actor is who made a change.
type Actor struct {
	Kind string `json:"kind"` // account, token, node or system
	UID  string `json:"uid,omitempty"`
	Name string `json:"name"`
}

// AuditCheck tells whether the chain of entries is whole.
type AuditCheck struct {
	OK       bool   `json:"ok"`
	Entries  int64  `json:"entries"`
	BrokenAt *int64 `json:"brokenAt,omitempty"`
	Reason   string `json:"reason,omitempty"` // changed, missing or unexpected
	Head     string `json:"head,omitempty"`   // the newest hash
}

// Audit returns the audit trail; only its list verbs exist.
func (c *Client) Audit() *Collection[struct{}, AuditEntry] {
	return &Collection[struct{}, AuditEntry]{c: c, kind: "audit", path: "/audit", names: func(e AuditEntry) (string, string) { return e.UID, e.Name }}
}

// VerifyAudit has the server check its chain of hashes.
func (c *Client) VerifyAudit(ctx context.Context) (AuditCheck, error) {
	var v AuditCheck
	err := c.do(ctx, call{method: http.MethodGet, path: "/audit/verify", into: &v})
	return v, err
}
