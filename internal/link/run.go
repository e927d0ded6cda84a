package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// connection is one TLS connection to the server. It is not reused after its Attach stream has ended: on a half-open one
// every later call would hang.
type connection struct {
	link      agentv1.LinkServiceClient
	lease     *agentv1.Lease // set once attached
	transport *http.Transport

	mu    sync.Mutex
	conns []net.Conn
}

func (c *Client) connect() *connection {
	id := c.Identity()
	k := &connection{}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	k.transport = &http.Transport{
		TLSClientConfig:     id.tlsConfig(c.o.Clock.Now),
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err == nil {
				k.mu.Lock()
				k.conns = append(k.conns, conn)
				k.mu.Unlock()
			}
			return conn, err
		},
	}
	k.link = agentv1.NewLinkServiceClient(&http.Client{Transport: k.transport}, id.Server, connect.WithReadMaxBytes(maxMessage))
	return k
}

func (k *connection) close() {
	k.transport.CloseIdleConnections()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, conn := range k.conns {
		_ = conn.Close()
	}
}

// fencedError ends a session that was refused because of a copy.
type fencedError struct {
	message string
	retry   time.Duration
}

func (e *fencedError) Error() string { return e.message }

// Run keeps the link until ctx ends, and returns then. It is called once.
func (c *Client) Run(ctx context.Context) {
	backoff := c.o.BackoffMin
	for ctx.Err() == nil {
		attached, err := c.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if attached {
			backoff = c.o.BackoffMin
		}
		wait := jitter(backoff)
		backoff = min(2*backoff, c.o.BackoffMax)
		state, reason := StateOffline, fmt.Sprintf("There is no link to the server at %s: %v. The agent serves on and keeps trying.", c.Identity().Server, err)
		var fenced *fencedError
		switch {
		case errors.As(err, &fenced):
			state, reason, wait = StateFenced, fenced.message, jitter(fenced.retry)
		case isRefusal(err):
			state, reason, wait = StateRefused, refusal(err), jitter(c.o.BackoffMax)
		}
		c.o.Log.InfoContext(ctx, "link lost", "state", state, "cause", err, "retryIn", wait.String())
		c.set(state, reason)
		if !pause(ctx, wait) {
			break
		}
	}
	c.set(StateOffline, "The agent is stopping.")
}

// isRefusal reports whether trying again cannot help before a person has done something.
func isRefusal(err error) bool {
	var op *net.OpError // how crypto/tls tells of an alert, here one about our certificate
	return problem.Is(err, CodeUnknownNode) || problem.Is(err, CodeNoCertificate) ||
		errors.As(err, &op) && op.Op == "remote error"
}

func refusal(err error) string {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Detail
	}
	return fmt.Sprintf("The server refuses this agent's certificate (%v). Enrol this machine again.", err)
}

// set changes the status; it is called by the goroutine of Run only.
func (c *Client) set(state State, reason string) {
	c.mu.Lock()
	if c.status.State != state {
		c.status.Since = c.o.Clock.Now()
	}
	c.status.State, c.status.Reason = state, reason
	s := c.status
	c.mu.Unlock()
	c.o.Changed(s)
}

// session attaches once and returns when the link is lost, and why.
func (c *Client) session(ctx context.Context) (attached bool, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	k := c.connect()
	defer k.close()
	// A Receive that waits does not see that ctx has ended; that its connection is gone it does.
	defer context.AfterFunc(ctx, k.close)()
	// Until Welcome tells better, a server that accepts but says nothing is given up after the time of a call.
	silence := time.AfterFunc(c.o.CallTimeout, func() { end(errSilent) })
	defer silence.Stop()

	stream := k.link.Attach(ctx)
	defer func() { _, _ = stream.CloseRequest(), stream.CloseResponse() }()
	fail := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if errors.Is(err, io.EOF) {
			return errDisconnected
		}
		return fromWire(err)
	}
	hello := &agentv1.Hello{
		LinkEpoch: readEpoch(c.dir), Instance: c.instance, Facts: factsToWire(c.o.Facts), Applied: revisionToWire(c.o.Applied()),
	}
	// When Send fails, Receive has the reason.
	_ = stream.Send(&agentv1.AttachRequest{Message: &agentv1.AttachRequest_Hello{Hello: hello}})
	m, err := stream.Receive()
	if err != nil {
		return false, fail(err)
	}
	if f := m.GetFenced(); f != nil {
		return false, &fencedError{f.GetMessage(), time.Duration(f.GetRetryAfterMs()) * time.Millisecond}
	}
	welcome := m.GetWelcome()
	if welcome == nil {
		return false, problem.New(http.StatusBadRequest, CodeBadRequest, "the server did not say Welcome")
	}
	if err := writeEpoch(c.dir, welcome.GetLinkEpoch()); err != nil {
		return false, fmt.Errorf("the link epoch cannot be stored: %w", err)
	}
	err = stream.Send(&agentv1.AttachRequest{Message: &agentv1.AttachRequest_Stored{Stored: &agentv1.Stored{LinkEpoch: welcome.GetLinkEpoch()}}})
	if err != nil {
		return false, fail(err)
	}
	// The server's first ping tells that it has stored the epoch too: before, it would refuse our calls.
	dead := time.Duration(welcome.GetDeadAfterMs()) * time.Millisecond
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer end(nil)
	for {
		m, err := stream.Receive()
		if err != nil {
			c.detach()
			return attached, fail(err)
		}
		silence.Reset(dead)
		if !attached {
			attached = true
			k.lease = &agentv1.Lease{LinkEpoch: welcome.GetLinkEpoch(), Instance: c.instance}
			c.mu.Lock()
			c.live = k
			c.mu.Unlock()
			c.o.Log.InfoContext(ctx, "attached", "linkEpoch", welcome.GetLinkEpoch())
			c.set(StateAttached, "")
			c.putNudge(Nudge{Revision: revisionFromWire(welcome.GetCurrent())})
			helpers.Go(func() { c.deliver(ctx, k) })
			helpers.Go(func() { c.renew(ctx, k) })
		}
		switch {
		case m.GetNudge() != nil:
			c.putNudge(Nudge{Revision: revisionFromWire(m.GetNudge().GetRevision()), RequestID: m.GetNudge().GetRequestId()})
		case m.GetPing() != nil:
			err := stream.Send(&agentv1.AttachRequest{Message: &agentv1.AttachRequest_Pong{Pong: &agentv1.Pong{Number: m.GetPing().GetNumber()}}})
			if err != nil {
				c.detach()
				return attached, fail(err)
			}
		}
	}
}

func (c *Client) detach() {
	c.mu.Lock()
	c.live = nil
	c.mu.Unlock()
}

// jitter returns a random duration between half of d and d, so that many agents do not come back at once.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// pause waits for d and reports whether ctx is still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
