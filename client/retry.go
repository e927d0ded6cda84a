package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// Unreachable is returned when no answer came from the server.
type Unreachable struct {
	Server string
	Err    error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("the server %s does not answer: %v", e.Server, e.Err)
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

func (c *Client) unreachable(ctx context.Context, err error) error {
	if errors.Is(err, ErrFingerprint) {
		return ErrFingerprint
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		err = errors.New("it does not speak TLS; is the port right?")
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) && c.opts.Fingerprint == "" && c.opts.CAFile == "" {
		err = fmt.Errorf("its certificate authority is not known here; pass the fingerprint that the server prints (SHA256:…): %w", err)
	}
	return &Unreachable{Server: c.base.String(), Err: err}
}

// retryable reports whether the call can be tried again without harm. A change under If-Match is repeated only when it
// surely was not made: otherwise the second try would meet the first one's work and look stale.
func retryable(method string, err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Retryable || p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
	}
	var u *Unreachable
	if !errors.As(err, &u) {
		return false
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	var cert *tls.CertificateVerificationError
	return (method == http.MethodGet || method == http.MethodPost) && !errors.As(err, &cert)
}

// backoff returns how long to wait before the next try: 0.2 s, doubling, with jitter, or what the server asks for.
func backoff(try int, err error) time.Duration {
	var p *Problem
	if errors.As(err, &p) && p.RetryAfter > 0 {
		return min(p.RetryAfter, 30*time.Second)
	}
	d := min(200*time.Millisecond<<try, 5*time.Second)
	return d/2 + rand.N(d)
}
