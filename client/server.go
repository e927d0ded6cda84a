package client

import (
	"context"
	"net/http"
)

// Version tells what the server is.
type Version struct {
	Version string `json:"version"`
	// Fingerprint is that of the server's CA, as the server says it.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Version returns what the server is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	var v Version
	err := c.do(ctx, call{method: http.MethodGet, path: "/version", into: &v})
	return v, err
}

// Health returns the server's own account of its health.
func (c *Client) Health(ctx context.Context) (map[string]any, error) {
	var h map[string]any
	err := c.do(ctx, call{method: http.MethodGet, path: "/health", into: &h})
	return h, err
}
