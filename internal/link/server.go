package link

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// Options tune a [Server]; zero fields get the defaults named.
type Options struct {
	PingEvery time.Duration // 5 s
	DeadAfter time.Duration // 15 s of silence end a link, on both sides
	// ProbeFor is how long the holder of a link has to answer when another agent wants it: 2 s.
	ProbeFor time.Duration
	// FencedRetry is when a fenced agent may ask again: 30 s.
	FencedRetry time.Duration
	// Quarrel is how long after a fencing an agent with an older link epoch still has to wait although the holder is
	// gone, counted from the holder's leaving: 2 min.
	Quarrel time.Duration
	Log     *slog.Logger
	Clock   clock.Clock
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.PingEvery, 5*time.Second)
	def(&o.DeadAfter, 15*time.Second)
	def(&o.ProbeFor, 2*time.Second)
	def(&o.FencedRetry, 30*time.Second)
	def(&o.Quarrel, 2*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	return o
}

// Server is the control plane's half of all links. It is safe for concurrent use.
type Server struct {
	nodes Nodes
	store Store
	ca    *pki.Authority
	o     Options

	mu    sync.Mutex
	links map[string]*nodeLink // by node UID
}

// NewServer returns a server whose agents have certificates of ca.
func NewServer(nodes Nodes, store Store, ca *pki.Authority, o Options) *Server {
	return &Server{nodes: nodes, store: store, ca: ca, o: o.withDefaults(), links: map[string]*nodeLink{}}
}

// Mount adds the link's handlers to mux, which must be served over HTTP/2 with [pki.ServerCertificate.TLSConfig].
func (s *Server) Mount(mux *http.ServeMux) {
	path, enrol := agentv1.NewEnrolmentServiceHandler(s, connect.WithReadMaxBytes(64<<10))
	mux.Handle(path, withAddr(enrol))
	path, link := agentv1.NewLinkServiceHandler(s, connect.WithReadMaxBytes(maxMessage))
	mux.Handle(path, s.withPeer(link))
}

type peerKey struct{}

type verified struct {
	Peer
	expires time.Time
}

func withAddr(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, verified{Peer: Peer{Addr: remoteIP(r)}})))
	})
}

// withPeer lets only nodes through and puts the [verified] peer into the context.
func (s *Server) withPeer(next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, cert, ok := pki.PeerNode(r.TLS)
		if !ok {
			_ = refuse.Write(w, r, toWire(problem.New(http.StatusUnauthorized, CodeNoCertificate,
				"This is for agents with a node's certificate. Enrol the machine with a token first.")))
			return
		}
		if r.URL.Path == agentv1.LinkServiceAttachProcedure {
			// The server's time limits are meant for requests that end.
			rc := http.NewResponseController(w)
			_ = errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{}))
		}
		p := verified{Peer{NodeUID: uid, KeyHash: pki.KeyHash(cert.PublicKey), Addr: remoteIP(r)}, cert.NotAfter}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, p)))
	})
}

func remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func peerOf(ctx context.Context) verified {
	p, _ := ctx.Value(peerKey{}).(verified)
	return p
}

// fail logs what went wrong in a call and returns it for the wire.
func (s *Server) fail(ctx context.Context, call string, err error) error {
	p := peerOf(ctx)
	level := slog.LevelInfo
	if problem.From(err).Code == problem.CodeInternal && ctx.Err() == nil {
		level = slog.LevelError
	}
	s.o.Log.Log(ctx, level, "link call refused", "call", call, "node", p.NodeUID, "addr", p.Addr, "error", err)
	return toWire(err)
}

// Enrol implements the enrolment service.
func (s *Server) Enrol(ctx context.Context, req *connect.Request[agentv1.EnrolRequest]) (*connect.Response[agentv1.EnrolResponse], error) {
	key, err := pki.ParseRequest(req.Msg.GetCsr())
	if err != nil {
		return nil, s.fail(ctx, "enrol", problem.New(http.StatusBadRequest, CodeBadRequest, err.Error()))
	}
	e, err := s.nodes.Enrol(ctx, Enrolment{
		Token: secret.NewString(req.Msg.GetToken()), KeyHash: pki.KeyHash(key),
		Facts: factsFromWire(req.Msg.GetFacts()), Addr: peerOf(ctx).Addr,
	})
	if err != nil {
		return nil, s.fail(ctx, "enrol", err)
	}
	cert, err := s.ca.SignAgent(key, e.NodeUID)
	if err != nil {
		return nil, s.fail(ctx, "enrol", err)
	}
	s.o.Log.InfoContext(ctx, "node enrolled", "node", e.NodeUID, "name", e.NodeName, "addr", peerOf(ctx).Addr)
	return connect.NewResponse(&agentv1.EnrolResponse{
		NodeUid: e.NodeUID, NodeName: e.NodeName, Certificate: cert.Raw, Ca: s.ca.Certificate().Raw, LinkEpoch: e.LinkEpoch,
	}), nil
}

// Renew implements the link service. It needs no lease: a fenced agent must not lose its certificate.
func (s *Server) Renew(ctx context.Context, req *connect.Request[agentv1.RenewRequest]) (*connect.Response[agentv1.RenewResponse], error) {
	p := peerOf(ctx)
	if _, err := s.nodes.Admit(ctx, p.Peer); err != nil {
		return nil, s.fail(ctx, "renew", err)
	}
	key, err := pki.ParseRequest(req.Msg.GetCsr())
	if err != nil || pki.KeyHash(key) != p.KeyHash {
		return nil, s.fail(ctx, "renew", problem.New(http.StatusBadRequest, CodeBadRequest,
			"A certificate is renewed for the key it has. For another key, enrol anew."))
	}
	cert, err := s.ca.SignAgent(key, p.NodeUID)
	if err != nil {
		return nil, s.fail(ctx, "renew", err)
	}
	return connect.NewResponse(&agentv1.RenewResponse{Certificate: cert.Raw}), nil
}

// FetchSnapshot implements the link service.
func (s *Server) FetchSnapshot(ctx context.Context, req *connect.Request[agentv1.FetchSnapshotRequest]) (*connect.Response[agentv1.FetchSnapshotResponse], error) {
	p := peerOf(ctx)
	if err := s.checkLease(ctx, p.Peer, req.Msg.GetLease()); err != nil {
		return nil, s.fail(ctx, "fetch", err)
	}
	current, err := s.checkBehind(ctx, p.NodeUID, revisionFromWire(req.Msg.GetHave()))
	if err != nil {
		return nil, s.fail(ctx, "fetch", err)
	}
	if current == revisionFromWire(req.Msg.GetHave()) {
		return connect.NewResponse(&agentv1.FetchSnapshotResponse{Unchanged: true, Revision: revisionToWire(current)}), nil
	}
	snap, err := s.store.Snapshot(ctx, p.NodeUID)
	if err != nil {
		return nil, s.fail(ctx, "fetch", err)
	}
	payload, err := json.Marshal(snap)
	if err != nil {
		return nil, s.fail(ctx, "fetch", err)
	}
	sum := sha256.Sum256(payload)
	return connect.NewResponse(&agentv1.FetchSnapshotResponse{
		Revision: revisionToWire(snap.Revision), Format: uint32(snap.Format), Payload: payload, Sha256: sum[:],
	}), nil
}

// checkBehind returns the node's current revision. If the agent is ahead of it within one store epoch, the control
// plane was restored from an older backup: the store hears of it first, and answers with its new epoch.
func (s *Server) checkBehind(ctx context.Context, nodeUID string, agent desired.Revision) (desired.Revision, error) {
	current, err := s.store.Revision(ctx, nodeUID)
	if err != nil || agent.Epoch != current.Epoch || agent.Number <= current.Number {
		return current, err
	}
	s.o.Log.WarnContext(ctx, "agent is ahead of the store: it was restored from an older backup",
		"node", nodeUID, "agent", agent.String(), "store", current.String())
	if err := s.store.Behind(ctx, nodeUID, agent); err != nil {
		return current, err
	}
	return s.store.Revision(ctx, nodeUID)
}

// Report implements the link service.
func (s *Server) Report(ctx context.Context, req *connect.Request[agentv1.ReportRequest]) (*connect.Response[agentv1.ReportResponse], error) {
	p := peerOf(ctx)
	if err := s.checkLease(ctx, p.Peer, req.Msg.GetLease()); err != nil {
		return nil, s.fail(ctx, "report", err)
	}
	var r desired.Report
	if req.Msg.GetFormat() != desired.FormatVersion {
		return nil, s.fail(ctx, "report", problem.New(http.StatusBadRequest, CodeBadRequest,
			"The server does not know this format of reports: bring server and agent to the same version."))
	}
	if err := json.Unmarshal(req.Msg.GetPayload(), &r); err != nil || r.NodeUID != p.NodeUID {
		return nil, s.fail(ctx, "report", problem.New(http.StatusBadRequest, CodeBadRequest,
			"The report is damaged or speaks for another node.").Because(err))
	}
	if err := s.store.Report(ctx, &r); err != nil {
		return nil, s.fail(ctx, "report", err)
	}
	return connect.NewResponse(&agentv1.ReportResponse{}), nil
}
