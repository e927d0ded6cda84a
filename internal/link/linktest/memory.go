// Package linktest helps to test both halves of the link without a store.
//
// Owns: [Memory], an in-memory [link.Nodes] and [link.Store]; [NodesSuite], which it and the real one (room node) both
// pass; [Serve], a link server over real TLS on loopback.
//
// Start reading at [Serve].
package linktest

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Memory keeps nodes, snapshots and reports. It is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	now    func() time.Time
	tokens map[string]*token
	nodes  map[string]*Node
	epoch  string
}

type token struct {
	name    string
	expires time.Time
	usedBy  string // key hash
	nodeUID string
}

// Node is what [Memory] knows about a node.
type Node struct {
	UID, Name, KeyHash string
	LinkEpoch          uint64
	Online             bool
	Restored           bool
	Fencings           []link.Fencing
	Unfenced           int
	Snapshot           desired.Snapshot
	Reports            []desired.Report
	Behind             []desired.Revision
}

// NewMemory returns an empty one whose tokens expire by now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, tokens: map[string]*token{}, nodes: map[string]*Node{}, epoch: "e1"}
}

// NewToken returns a token by which a machine becomes the node name, new or again.
func (m *Memory) NewToken(_ context.Context, name string, ttl time.Duration) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := rand.Text()
	m.tokens[t] = &token{name: name, expires: m.now().Add(ttl)}
	return t, nil
}

// Node returns a copy of what is known about a node; ok is false if it is unknown.
func (m *Memory) Node(uid string) (n Node, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.nodes[uid]
	if !ok {
		return Node{}, false
	}
	n = *p
	n.Fencings, n.Reports, n.Behind = slices.Clone(n.Fencings), slices.Clone(n.Reports), slices.Clone(n.Behind)
	return n, true
}

// Delete forgets a node.
func (m *Memory) Delete(_ context.Context, uid string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.nodes, uid)
	return nil
}

// SetSnapshot gives a node new content with the next revision, which it returns. edit may be nil.
func (m *Memory) SetSnapshot(uid string, edit func(s *desired.Snapshot)) desired.Revision {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[uid]
	if edit != nil {
		edit(&n.Snapshot)
	}
	n.Snapshot.Format, n.Snapshot.NodeUID = desired.FormatVersion, uid
	n.Snapshot.Revision = desired.Revision{Epoch: m.epoch, Number: n.Snapshot.Revision.Number + 1}
	return n.Snapshot.Revision
}

func refuse() error {
	return problem.New(http.StatusForbidden, link.CodeUnknownNode, "This server does not know this node. Enrol it again.")
}

func (m *Memory) edit(uid string, fn func(n *Node)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.nodes[uid]
	if n == nil {
		return refuse()
	}
	fn(n)
	return nil
}

// Enrol implements [link.Nodes].
func (m *Memory) Enrol(_ context.Context, e link.Enrolment) (link.Enrolled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[e.Token.Reveal()]
	if t == nil || m.now().After(t.expires) || (t.usedBy != "" && t.usedBy != e.KeyHash) {
		return link.Enrolled{}, problem.New(http.StatusUnauthorized, "node.token_invalid", "The token is unknown, used or expired.")
	}
	if t.usedBy == "" {
		t.usedBy = e.KeyHash
		for _, n := range m.nodes {
			if n.Name == t.name {
				t.nodeUID = n.UID
			}
		}
		if t.nodeUID == "" {
			t.nodeUID = object.NewUID()
			m.nodes[t.nodeUID] = &Node{UID: t.nodeUID, Name: t.name, Snapshot: desired.Snapshot{
				Format: desired.FormatVersion, NodeUID: t.nodeUID, Revision: desired.Revision{Epoch: m.epoch, Number: 1},
			}}
		}
		m.nodes[t.nodeUID].KeyHash = e.KeyHash
	}
	n := m.nodes[t.nodeUID]
	if n == nil {
		return link.Enrolled{}, refuse()
	}
	return link.Enrolled{NodeUID: n.UID, NodeName: n.Name, LinkEpoch: n.LinkEpoch}, nil
}

// Admit implements [link.Nodes].
func (m *Memory) Admit(_ context.Context, p link.Peer) (epoch uint64, err error) {
	err = m.edit(p.NodeUID, func(n *Node) { epoch = n.LinkEpoch })
	if err == nil {
		if n, _ := m.Node(p.NodeUID); n.KeyHash != p.KeyHash {
			return 0, refuse()
		}
	}
	return epoch, err
}

// Attached implements [link.Nodes].
func (m *Memory) Attached(_ context.Context, p link.Peer, a link.Attachment) error {
	return m.edit(p.NodeUID, func(n *Node) { n.LinkEpoch, n.Online, n.Restored = a.LinkEpoch, true, a.Restored })
}

// Detached implements [link.Nodes].
func (m *Memory) Detached(_ context.Context, uid string) error {
	return m.edit(uid, func(n *Node) { n.Online = false })
}

// Fenced implements [link.Nodes].
func (m *Memory) Fenced(_ context.Context, uid string, f link.Fencing) error {
	return m.edit(uid, func(n *Node) { n.Fencings = append(n.Fencings, f) })
}

// Unfenced implements [link.Nodes].
func (m *Memory) Unfenced(_ context.Context, uid string) error {
	return m.edit(uid, func(n *Node) { n.Unfenced++ })
}

// Revision implements [link.Store].
func (m *Memory) Revision(_ context.Context, uid string) (r desired.Revision, err error) {
	err = m.edit(uid, func(n *Node) { r = n.Snapshot.Revision })
	return r, err
}

// Snapshot implements [link.Store].
func (m *Memory) Snapshot(_ context.Context, uid string) (s *desired.Snapshot, err error) {
	err = m.edit(uid, func(n *Node) { c := n.Snapshot; s = &c })
	return s, err
}

// Report implements [link.Store].
func (m *Memory) Report(_ context.Context, r *desired.Report) error {
	return m.edit(r.NodeUID, func(n *Node) { n.Reports = append(n.Reports, *r) })
}

// Behind implements [link.Store]: it starts a new store epoch.
func (m *Memory) Behind(_ context.Context, uid string, applied desired.Revision) error {
	m.mu.Lock()
	m.epoch += "+"
	epoch := m.epoch
	for _, n := range m.nodes {
		n.Snapshot.Revision.Epoch = epoch
	}
	m.mu.Unlock()
	return m.edit(uid, func(n *Node) { n.Behind = append(n.Behind, applied) })
}
