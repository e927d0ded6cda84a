package link

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

type attachStream = connect.BidiStream[agentv1.AttachRequest, agentv1.AttachResponse]

// nodeLink is what the server knows about the link of one node. Entries stay: they are small, and the memory of a
// quarrel must outlive the streams.
type nodeLink struct {
	// admission is held (one token) while deciding who holds the link and while telling [Nodes] about it.
	admission chan struct{}

	mu       sync.Mutex
	holder   *session
	leftAt   time.Time // when the last holder left
	fencedAt time.Time // when a newcomer was fenced last
	// unfenceAt is when to take back a fencing unless the copy comes again; zero when that was done. It is also set at
	// an attach, for a fencing that was stored before this process began.
	unfenceAt time.Time
}

func (l *nodeLink) get() *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

func (s *Server) link(nodeUID string) *nodeLink {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[nodeUID]
	if l == nil {
		l = &nodeLink{admission: make(chan struct{}, 1)}
		s.links[nodeUID] = l
	}
	return l
}

// session is one attached agent.
type session struct {
	peer     Peer
	hostname string
	instance string
	epoch    uint64
	end      context.CancelCauseFunc

	wake chan struct{} // capacity 1: something to send
	gone chan struct{} // closed when the stream has ended
	mu   sync.Mutex
	// nudge is the newest one not yet sent; ping asks for an extra ping.
	nudge *agentv1.Nudge
	ping  bool
	// probe is closed when the agent answers a ping that was sent after the probe began: an older answer could still be
	// on its way from a machine that has been restarted since. probePing is that ping's number, 0 until it is sent.
	probe     chan struct{}
	probePing uint64
}

func (ss *session) poke(set func()) {
	ss.mu.Lock()
	set()
	ss.mu.Unlock()
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// answers pings the agent and reports whether it answers within d. It is called under the link's admission, so there is
// one probe at a time.
func (ss *session) answers(ctx context.Context, d time.Duration) bool {
	probe := make(chan struct{})
	ss.poke(func() { ss.ping, ss.probe, ss.probePing = true, probe, 0 })
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-probe:
		return true
	case <-ss.gone:
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// next returns what to send: a nudge or nil, and whether a ping with this number.
func (ss *session) next(number uint64) (nudge *agentv1.Nudge, ping bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	nudge, ping = ss.nudge, ss.ping
	ss.nudge, ss.ping = nil, false
	if ping && ss.probe != nil && ss.probePing == 0 {
		ss.probePing = number
	}
	return nudge, ping
}

func (ss *session) heard(m *agentv1.AttachRequest) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.probe != nil && ss.probePing != 0 && m.GetPong().GetNumber() >= ss.probePing {
		close(ss.probe)
		ss.probe = nil
	}
}

// Nudge tells a node's agent, if attached, that it can fetch a newer snapshot. It does not wait; of several nudges in a
// row the agent may see only the last.
func (s *Server) Nudge(nodeUID string, r desired.Revision, requestID string) {
	if ss := s.link(nodeUID).get(); ss != nil {
		ss.poke(func() { ss.nudge = &agentv1.Nudge{Revision: revisionToWire(r), RequestId: requestID} })
	}
}

// Attached returns the UIDs of all nodes whose link is held, in no order.
func (s *Server) Attached() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for uid, l := range s.links {
		if l.get() != nil {
			out = append(out, uid)
		}
	}
	return out
}

// Disconnect ends a node's link, if any: the node was deleted or enrolled anew, or the server stops. The agent comes back
// at once, and hears then whether it is still welcome.
func (s *Server) Disconnect(nodeUID string) {
	if ss := s.link(nodeUID).get(); ss != nil {
		ss.end(errDisconnected)
	}
}

func (s *Server) checkLease(ctx context.Context, p Peer, l *agentv1.Lease) error {
	if _, err := s.nodes.Admit(ctx, p); err != nil {
		return err
	}
	if ss := s.link(p.NodeUID).get(); ss == nil || ss.epoch != l.GetLinkEpoch() || ss.instance != l.GetInstance() {
		return problem.New(http.StatusConflict, CodeNotHolder, "This agent does not hold the node's link. Attach first.")
	}
	return nil
}

var (
	errSilent       = errors.New("no message for too long")
	errDisconnected = errors.New("ended by the server")
)

// Attach implements the link service: it decides who holds the node's link and then serves the holder.
func (s *Server) Attach(ctx context.Context, stream *attachStream) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	p := peerOf(ctx)
	in := make(chan *agentv1.AttachRequest)
	go func() { // ends with the handler, which closes the request
		for {
			m, err := stream.Receive()
			if err != nil {
				end(err)
				return
			}
			select {
			case in <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	first, err := await(ctx, in, s.o.DeadAfter)
	if err != nil {
		return s.fail(ctx, "attach", err)
	}
	hello := first.GetHello()
	if hello == nil || hello.GetInstance() == "" {
		return s.fail(ctx, "attach", problem.New(http.StatusBadRequest, CodeBadRequest, "An agent says Hello first."))
	}
	l := s.link(p.NodeUID)
	ss, err := s.admit(ctx, l, p.Peer, hello, stream, in, end)
	if err != nil {
		return s.fail(ctx, "attach", err)
	}
	if ss == nil {
		return nil // fenced, and told so
	}
	s.o.Log.InfoContext(ctx, "node attached", "node", p.NodeUID, "addr", p.Addr, "linkEpoch", ss.epoch)
	err = s.serve(ctx, l, ss, stream, in, p.expires)
	s.leave(ctx, l, ss)
	s.o.Log.InfoContext(ctx, "node detached", "node", p.NodeUID, "addr", p.Addr, "linkEpoch", ss.epoch, "cause", err)
	if errors.As(err, new(*problem.Error)) {
		return toWire(err)
	}
	return nil
}

func await(ctx context.Context, in <-chan *agentv1.AttachRequest, d time.Duration) (*agentv1.AttachRequest, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case m := <-in:
		return m, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-t.C:
		return nil, problem.New(http.StatusBadRequest, CodeBadRequest, "The agent did not say what was expected in time.")
	}
}

// admit makes the newcomer the holder of l, or sends Fenced and returns nil.
func (s *Server) admit(ctx context.Context, l *nodeLink, p Peer, hello *agentv1.Hello, stream *attachStream,
	in <-chan *agentv1.AttachRequest, end context.CancelCauseFunc,
) (*session, error) {
	select {
	case l.admission <- struct{}{}:
		defer func() { <-l.admission }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	stored, err := s.nodes.Admit(ctx, p)
	if err != nil {
		return nil, err
	}
	facts := factsFromWire(hello.GetFacts())
	if fencing := s.contested(ctx, l, p, hello.GetLinkEpoch() < stored); fencing != nil {
		fencing.Newcomer = facts.Hostname
		return nil, s.fence(ctx, l, p, *fencing, stream)
	}
	current, err := s.checkBehind(ctx, p.NodeUID, revisionFromWire(hello.GetApplied()))
	if err != nil {
		return nil, err
	}
	ss := &session{
		peer: p, hostname: facts.Hostname, instance: hello.GetInstance(), epoch: max(stored, hello.GetLinkEpoch()) + 1, end: end,
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	err = stream.Send(&agentv1.AttachResponse{Message: &agentv1.AttachResponse_Welcome{Welcome: &agentv1.Welcome{
		LinkEpoch: ss.epoch, Current: revisionToWire(current), DeadAfterMs: uint32(s.o.DeadAfter.Milliseconds()),
	}}})
	if err != nil {
		return nil, err
	}
	// We store the epoch after the agent has: were it the other way round, an agent that crashes in between would look
	// like one restored from an older copy.
	answer, err := await(ctx, in, s.o.DeadAfter)
	if err != nil {
		return nil, err
	}
	if answer.GetStored().GetLinkEpoch() != ss.epoch {
		return nil, problem.New(http.StatusBadRequest, CodeBadRequest, "The agent has not stored the link epoch it was given.")
	}
	attachment := Attachment{LinkEpoch: ss.epoch, Facts: facts, Restored: hello.GetLinkEpoch() < stored}
	if err := s.nodes.Attached(ctx, p, attachment); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.holder, l.unfenceAt = ss, s.o.Clock.Now().Add(s.quiet())
	l.mu.Unlock()
	return ss, nil
}

// contested returns why the newcomer p must not have the link, or nil. A holder that does not answer is ended.
func (s *Server) contested(ctx context.Context, l *nodeLink, p Peer, older bool) *Fencing {
	holder := l.get()
	if holder == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		now := s.o.Clock.Now()
		if older && now.Sub(l.fencedAt) < s.o.Quarrel+s.quiet() && now.Sub(l.leftAt) < s.o.Quarrel {
			return &Fencing{NewcomerAddr: p.Addr}
		}
		return nil
	}
	if holder.answers(ctx, s.o.ProbeFor) {
		return &Fencing{HolderAddr: holder.peer.Addr, Holder: holder.hostname, NewcomerAddr: p.Addr}
	}
	holder.end(problem.New(http.StatusConflict, CodeSuperseded, "The agent did not answer and another one took the link."))
	return nil
}

func (s *Server) fence(ctx context.Context, l *nodeLink, p Peer, f Fencing, stream *attachStream) error {
	l.mu.Lock()
	l.fencedAt = s.o.Clock.Now()
	l.unfenceAt = l.fencedAt.Add(s.quiet())
	l.mu.Unlock()
	s.o.Log.WarnContext(ctx, "agent fenced: another one holds the link with the same identity", "node", p.NodeUID,
		"addr", p.Addr, "host", f.Newcomer, "holder", f.HolderAddr, "holderHost", f.Holder)
	if f.HolderAddr != "" {
		if err := s.nodes.Fenced(ctx, p.NodeUID, f); err != nil {
			return err
		}
	}
	return stream.Send(&agentv1.AttachResponse{Message: &agentv1.AttachResponse_Fenced{Fenced: &agentv1.Fenced{
		Code: CodeCloned,
		Message: "Another machine with the same identity holds this node's link. If this machine is a copy, enrol it with a new token: " +
			"it then becomes a node of its own.",
		RetryAfterMs: uint32(s.o.FencedRetry.Milliseconds()),
	}}})
}

// serve pings the agent, passes nudges on, and returns why the link ended. It alone sends on the stream.
func (s *Server) serve(ctx context.Context, l *nodeLink, ss *session, stream *attachStream,
	in <-chan *agentv1.AttachRequest, expires time.Time,
) error {
	tick := time.NewTicker(s.o.PingEvery)
	defer tick.Stop()
	silence := time.NewTimer(s.o.DeadAfter)
	defer silence.Stop()
	var pings uint64
	ss.poke(func() { ss.ping = true }) // the first ping tells the agent that it is admitted
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-silence.C:
			return errSilent
		case m := <-in:
			silence.Reset(s.o.DeadAfter)
			ss.heard(m)
		case <-tick.C:
			ss.poke(func() { ss.ping = true })
			if now := s.o.Clock.Now(); now.After(expires) {
				return problem.New(http.StatusUnauthorized, CodeNoCertificate, "The certificate of this connection has expired.")
			}
			s.forgetQuarrel(ctx, l, ss.peer.NodeUID)
		case <-ss.wake:
		}
		nudge, ping := ss.next(pings + 1)
		if nudge != nil {
			if err := stream.Send(&agentv1.AttachResponse{Message: &agentv1.AttachResponse_Nudge{Nudge: nudge}}); err != nil {
				return err
			}
		}
		if ping {
			pings++
			if err := stream.Send(&agentv1.AttachResponse{Message: &agentv1.AttachResponse_Ping{Ping: &agentv1.Ping{Number: pings}}}); err != nil {
				return err
			}
		}
	}
}

// quiet is how long a copy must not have asked for the link until its fencing is taken back.
func (s *Server) quiet() time.Duration { return 3 * s.o.FencedRetry }

func (s *Server) forgetQuarrel(ctx context.Context, l *nodeLink, nodeUID string) {
	l.mu.Lock()
	over := !l.unfenceAt.IsZero() && s.o.Clock.Now().After(l.unfenceAt)
	if over {
		l.unfenceAt = time.Time{}
	}
	l.mu.Unlock()
	if over {
		if err := s.nodes.Unfenced(ctx, nodeUID); err != nil {
			s.o.Log.ErrorContext(ctx, "fencing not taken back", "node", nodeUID, "error", err)
		}
	}
}

// leave gives the link up, unless another session has taken it.
func (s *Server) leave(ctx context.Context, l *nodeLink, ss *session) {
	close(ss.gone)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	l.admission <- struct{}{}
	defer func() { <-l.admission }()
	l.mu.Lock()
	mine := l.holder == ss
	if mine {
		l.holder, l.leftAt = nil, s.o.Clock.Now()
	}
	l.mu.Unlock()
	if !mine {
		return
	}
	if err := s.nodes.Detached(ctx, ss.peer.NodeUID); err != nil {
		s.o.Log.ErrorContext(ctx, "detach not stored", "node", ss.peer.NodeUID, "error", err)
	}
}
