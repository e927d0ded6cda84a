package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Prefix is where REST v2 lives below the server's address.
const Prefix = "/api/v2"

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

// Options of a [Client]. Only Server is needed.
type Options struct {
	// Server is the address, such as https://gateway.example:8443. Without a scheme https is meant.
	Server string
	// Token is an API token.
	Token string
	// Fingerprint is "SHA256:…" of the CA's certificate. With it nothing else is trusted, from the first connection on.
	Fingerprint string
	// CAFile names a PEM file with the CA to trust, in place of the system's and of Fingerprint.
	CAFile string
	// UserAgent names the calling program.
	UserAgent string
	// Retries is how often a request is tried again when that is safe; 3 if zero, none if negative.
	Retries int
}

// Client speaks to one server. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	opts    Options
	http    *http.Client
	retries int
	wait    func(ctx context.Context, d time.Duration) error

	mu      sync.Mutex
	session *session
}

// New returns a client. It does not connect yet.
func New(o Options) (*Client, error) {
	server := strings.TrimSpace(o.Server)
	if server == "" {
		return nil, errors.New("the server's address is missing")
	}
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	base, err := url.Parse(server)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%q is not a server's address; write it as https://host:port", o.Server)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("%q is not a server's address: it must not hold a name, a query or a fragment", o.Server)
	}
	if base.Scheme == "http" && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("%s is not encrypted: use https, or http on the loopback address only", server)
	}
	tlsConfig, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = tlsConfig
	transport.MaxIdleConnsPerHost = 32
	transport.ResponseHeaderTimeout = 2 * time.Minute
	c := &Client{base: base, opts: o, retries: o.Retries, wait: sleep, http: &http.Client{
		Transport: transport,
		// An API does not redirect; following one would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o.Retries == 0 {
		c.retries = 3
	}
	return c, nil
}

// Server returns the server's address.
func (c *Client) Server() string { return c.base.String() }

// call is one request of the API.
type call struct {
	method string
	path   string // below [Prefix], with its query
	// body is sent as JSON, unless it is a [raw].
	body    any
	into    any // decoded from the answer, if any
	ifMatch string
	key     string // Idempotency-Key
	merge   bool   // the body is a JSON merge patch
}

// raw is a body that is not JSON.
type raw struct {
	contentType string
	bytes       []byte
}

// do runs one call, with retries where they are safe. All its tries share the request ID and the Idempotency-Key.
func (c *Client) do(ctx context.Context, a call) error {
	body, contentType, err := encode(a)
	if err != nil {
		return err
	}
	if a.method == http.MethodPost && a.key == "" {
		a.key = newID()
	}
	requestID := newID()
	for try := 0; ; try++ {
		err := c.once(ctx, a, body, contentType, requestID)
		if err == nil || ctx.Err() != nil || try >= c.retries || !retryable(a.method, err) {
			return err
		}
		if waitErr := c.wait(ctx, backoff(try, err)); waitErr != nil {
			return err
		}
	}
}

func encode(a call) (body []byte, contentType string, err error) {
	switch b := a.body.(type) {
	case nil:
		return nil, "", nil
	case raw:
		return b.bytes, b.contentType, nil
	}
	contentType = "application/json"
	if a.merge {
		contentType = "application/merge-patch+json"
	}
	body, err = json.Marshal(a.body)
	return body, contentType, err
}

func (c *Client) once(ctx context.Context, a call, body []byte, contentType, requestID string) error {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, a.method, c.base.String()+Prefix+a.path, reader)
	if err != nil {
		return err
	}
	c.header(req.Header, a.method)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Request-ID", requestID)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if a.ifMatch != "" {
		req.Header.Set("If-Match", a.ifMatch)
	}
	if a.method == http.MethodPost {
		req.Header.Set("Idempotency-Key", a.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if len(answer) > maxAnswer {
		return fmt.Errorf("%s %s: the answer is larger than %d MiB", a.method, a.path, maxAnswer>>20)
	}
	c.remember(res)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return problemOf(res, answer, requestID)
	}
	if a.into == nil || len(bytes.TrimSpace(answer)) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, a.into); err != nil {
		return fmt.Errorf("%s answered %s %s with something that is not the API's JSON (is this a PVE SMB Gateway?): %w", c.base.Host, a.method, a.path, err)
	}
	return nil
}

// header sets who asks.
func (c *Client) header(h http.Header, method string) {
	if c.opts.UserAgent != "" {
		h.Set("User-Agent", c.opts.UserAgent)
	}
	if c.opts.Token != "" {
		h.Set("Authorization", "Bearer "+c.opts.Token)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		c.session.header(h, method)
	}
}

// newID returns 26 random letters and digits.
func newID() string { return rand.Text() }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
