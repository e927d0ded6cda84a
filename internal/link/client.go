package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// State is how the agent stands with the server.
type State string

// The states of a link. Only in [StateAttached] can snapshots be fetched; in all of them the agent serves on.
const (
	StateOffline  State = "offline"  // the server cannot be reached; trying again
	StateAttached State = "attached" // we hold the link
	StateFenced   State = "fenced"   // another machine with the same identity holds it
	StateRefused  State = "refused"  // the server does not know us, or our certificate has expired: enrol again
)

// Status is a [State] and since when and why.
type Status struct {
	State State
	Since time.Time
	// Reason is a sentence for people, empty while attached.
	Reason string
}

// Nudge tells that a snapshot can be fetched. RequestID is that of the change that caused it, if one did.
type Nudge struct {
	Revision  desired.Revision
	RequestID string
}

// Fetched is the answer to [Client.FetchSnapshot].
type Fetched struct {
	// Snapshot is nil if the server has nothing newer.
	Snapshot *desired.Snapshot
	// Raw is the JSON of Snapshot as it came, to be kept on disk as it is; SHA256 is its verified hash.
	Raw    []byte
	SHA256 []byte
}

// ErrOffline is returned by calls that need the link while it is not held.
var ErrOffline = errors.New("link: not attached to the server")

// ErrNewerFormat is returned for a snapshot that this agent is too old to read.
var ErrNewerFormat = errors.New("link: the snapshot has a newer format than this agent knows: upgrade the agent")

// ClientOptions tune a [Client]; zero fields get the defaults named.
type ClientOptions struct {
	Facts Facts
	// Applied returns the revision of the newest snapshot that was applied, for Hello; nil: none.
	Applied func() desired.Revision
	// Changed is called, if set, after each change of the status, from one goroutine.
	Changed func(Status)
	// BackoffMin and BackoffMax bound the pause between attempts: 200 ms, doubling to 15 s, with jitter.
	BackoffMin, BackoffMax time.Duration
	// CallTimeout bounds every call but Attach: 30 s.
	CallTimeout time.Duration
	// RenewEvery is how often to look whether the certificate is due: 1 min.
	RenewEvery time.Duration
	Log        *slog.Logger
	Clock      clock.Clock
}

func (o ClientOptions) withDefaults() ClientOptions {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.BackoffMin, 200*time.Millisecond)
	def(&o.BackoffMax, 15*time.Second)
	def(&o.CallTimeout, 30*time.Second)
	def(&o.RenewEvery, time.Minute)
	if o.Applied == nil {
		o.Applied = func() desired.Revision { return desired.Revision{} }
	}
	if o.Changed == nil {
		o.Changed = func(Status) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	return o
}

// Client is the agent's half of the link. Its methods are safe for concurrent use.
type Client struct {
	dir      string
	o        ClientOptions
	instance string

	nudges      chan Nudge    // capacity 1
	reportReady chan struct{} // capacity 1

	mu     sync.Mutex
	id     *Identity
	live   *connection // nil while not attached
	status Status
	report *desired.Report // newest not yet acknowledged
}

// NewClient returns a client with the identity kept in dir, or [ErrNotEnrolled]. It does nothing until [Client.Run].
func NewClient(dir string, o ClientOptions) (*Client, error) {
	id, err := LoadIdentity(dir)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Client{
		dir: dir, o: o, instance: rand.Text(), id: id,
		nudges: make(chan Nudge, 1), reportReady: make(chan struct{}, 1),
		status: Status{State: StateOffline, Since: o.Clock.Now(), Reason: "not yet connected"},
	}, nil
}

// Identity returns the identity in use.
func (c *Client) Identity() Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.id
}

// Status returns how the link stands.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Nudges returns the channel of nudges: one after every attach, and one whenever the server has a newer snapshot. It
// holds one, the newest.
func (c *Client) Nudges() <-chan Nudge { return c.nudges }

// putNudge is called by the one goroutine that reads the stream.
func (c *Client) putNudge(n Nudge) {
	select {
	case <-c.nudges: // replaced by the newer one
	default:
	}
	c.nudges <- n
}

func (c *Client) connection() (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		return nil, ErrOffline
	}
	return c.live, nil
}

// FetchSnapshot fetches the node's snapshot, unless the server's revision is have. The result is verified: hash, format,
// and that it is this node's. That it does not go backwards is for the caller to check.
func (c *Client) FetchSnapshot(ctx context.Context, have desired.Revision) (*Fetched, error) {
	live, err := c.connection()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	answer, err := live.link.FetchSnapshot(ctx, connect.NewRequest(&agentv1.FetchSnapshotRequest{
		Lease: live.lease, Have: revisionToWire(have),
	}))
	if err != nil {
		return nil, fromWire(err)
	}
	m := answer.Msg
	if m.GetUnchanged() {
		return &Fetched{}, nil
	}
	if m.GetFormat() > desired.FormatVersion {
		return nil, ErrNewerFormat
	}
	if sum := sha256.Sum256(m.GetPayload()); !bytes.Equal(sum[:], m.GetSha256()) {
		return nil, errors.New("link: the snapshot does not have the hash it came with")
	}
	f := &Fetched{Snapshot: new(desired.Snapshot), Raw: m.GetPayload(), SHA256: m.GetSha256()}
	if err := json.Unmarshal(f.Raw, f.Snapshot); err != nil {
		return nil, fmt.Errorf("link: the snapshot is no JSON of a snapshot: %w", err)
	}
	if uid := c.Identity().NodeUID; f.Snapshot.NodeUID != uid {
		return nil, fmt.Errorf("link: the snapshot is for node %q, this is %q", f.Snapshot.NodeUID, uid)
	}
	return f, nil
}

// SendReport hands over a report and returns at once. It is sent as soon as the link is held, and again until the server
// acknowledges it or a later report takes its place. r must not be changed afterwards.
func (c *Client) SendReport(r *desired.Report) {
	c.mu.Lock()
	c.report = r
	c.mu.Unlock()
	select {
	case c.reportReady <- struct{}{}:
	default:
	}
}

// deliver sends reports while ctx, that of an attached session, lasts.
func (c *Client) deliver(ctx context.Context, live *connection) {
	for {
		c.mu.Lock()
		r := c.report
		c.mu.Unlock()
		if r == nil {
			select {
			case <-ctx.Done():
				return
			case <-c.reportReady:
				continue
			}
		}
		err := c.sendOne(ctx, live, r)
		switch {
		case err == nil || refused(err):
			// A report that the server cannot read would be refused for ever.
			c.mu.Lock()
			if c.report == r {
				c.report = nil
			}
			c.mu.Unlock()
		case !pause(ctx, jitter(time.Second)):
			return
		}
		if err != nil && ctx.Err() == nil {
			c.o.Log.WarnContext(ctx, "report not taken", "error", err)
		}
	}
}

func refused(err error) bool { return problem.Is(err, CodeBadRequest) }

func (c *Client) sendOne(ctx context.Context, live *connection, r *desired.Report) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return problem.New(400, CodeBadRequest, "the report cannot be written as JSON").Because(err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	_, err = live.link.Report(ctx, connect.NewRequest(&agentv1.ReportRequest{
		Lease: live.lease, Format: desired.FormatVersion, Payload: payload,
	}))
	if err != nil {
		return fromWire(err)
	}
	return nil
}

// renew keeps the certificate fresh while ctx, that of an attached session, lasts. Connections made later use it.
func (c *Client) renew(ctx context.Context, live *connection) {
	for {
		if id := c.Identity(); !c.o.Clock.Now().Before(pki.RenewAt(id.Cert)) {
			if err := c.renewOnce(ctx, live, id); err != nil && ctx.Err() == nil {
				c.o.Log.ErrorContext(ctx, "certificate not renewed", "expires", id.Cert.NotAfter, "error", err)
			}
		}
		if !pause(ctx, jitter(c.o.RenewEvery)) {
			return
		}
	}
}

func (c *Client) renewOnce(ctx context.Context, live *connection, id Identity) error {
	csr, err := pki.NewRequest(id.key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	answer, err := live.link.Renew(ctx, connect.NewRequest(&agentv1.RenewRequest{Csr: csr}))
	if err != nil {
		return fromWire(err)
	}
	cert, err := x509.ParseCertificate(answer.Msg.GetCertificate())
	if err != nil || !id.key.PublicKey.Equal(cert.PublicKey) || cert.CheckSignatureFrom(id.CA) != nil {
		return errors.New("link: the renewed certificate is not ours")
	}
	id.Cert = cert
	if err := id.save(c.dir); err != nil {
		return err
	}
	c.mu.Lock()
	c.id = &id
	c.mu.Unlock()
	c.o.Log.InfoContext(ctx, "certificate renewed", "expires", cert.NotAfter)
	return nil
}
