package client

import (
	"context"
	"net/http"
)

// Version tells what the server is.
type Version struct {
	Version string `json:"version"`
	API     string `json:"api"`
	// Fingerprint is that of the server's CA, as the server says it.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Version returns what the server is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, call{method: http.MethodGet, path: "/version", into: &v})
	return v, err
}

// Health is the server's own account of how it is.
type Health struct {
	Status   string `json:"status"` // ok or degraded
	Database string `json:"database"`
	Agents   int    `json:"agents"` // with a live link
}

// Health returns how the server is.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	err := c.do(ctx, call{method: http.MethodGet, path: "/health", into: &h})
	return h, err
}
