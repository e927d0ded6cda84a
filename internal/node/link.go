package node

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

var (
	_ link.Nodes          = (*Service)(nil)
	_ link.Store          = (*Service)(nil)
	_ desired.Contributor = (*Service)(nil)
	_ desired.Observer    = (*Service)(nil)
)

// seenEvery is how far LastSeenAt may lag behind, so that a node's reports do not write each time.
const seenEvery = 30 * time.Second

// Admit implements [link.Nodes].
func (s *Service) Admit(ctx context.Context, p link.Peer) (uint64, error) {
	n, err := s.store.get(ctx, p.NodeUID)
	if problem.Is(err, CodeNotFound) {
		return 0, problem.New(http.StatusForbidden, link.CodeUnknownNode,
			"The server does not know this node: it was deleted, or this is another server. Create an enrolment token there and enrol this machine again.")
	}
	if err != nil {
		return 0, err
	}
	if n.keyHash != p.KeyHash {
		return 0, problem.New(http.StatusForbidden, link.CodeUnknownNode,
			"This node was enrolled anew, and the identity of this machine is void. If the node is to live here, create an enrolment token on the server and enrol this machine.")
	}
	return n.linkEpoch, nil
}

// edit changes what is known of a node's link. A node that was deleted meanwhile is left alone.
func (s *Service) edit(ctx context.Context, uid string, change func(n *Node) bool) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.store.lock(ctx, uid)
		if problem.Is(err, CodeNotFound) {
			return nil
		}
		if err != nil || !change(&n) {
			return err
		}
		return s.status(ctx, &n)
	})
}

func (s *Service) seen(n *Node) {
	now := s.clock.Now()
	n.Status.LastSeenAt = &now
}

// Attached implements [link.Nodes].
func (s *Service) Attached(ctx context.Context, p link.Peer, a link.Attachment) error {
	if _, err := s.Admit(ctx, p); err != nil {
		return err
	}
	return s.edit(ctx, p.NodeUID, func(n *Node) bool {
		n.linkEpoch, n.attached = a.LinkEpoch, true
		n.describe(a.Facts, p.Addr)
		s.seen(n)
		if a.Restored {
			s.setCondition(n, object.Reachable, object.True, ReasonRestored, fmt.Sprintf(
				"Connected from %s. The machine was restored from an older copy. If another machine was this node until now, stop it or enrol it with a new token.", p.Addr))
		} else {
			s.setCondition(n, object.Reachable, object.True, ReasonAttached, "Connected from "+p.Addr+".")
		}
		return true
	})
}

// Detached implements [link.Nodes].
func (s *Service) Detached(ctx context.Context, nodeUID string) error {
	return s.detach(ctx, nodeUID, ReasonDetached,
		"The agent is not connected. Shares go on working as they were; changes wait. Check that the machine runs, that smbgw-agent is active there, and that it can reach this server.")
}

func (s *Service) detach(ctx context.Context, nodeUID, reason, message string) error {
	return s.edit(ctx, nodeUID, func(n *Node) bool {
		n.attached = false
		if reason == ReasonDetached {
			s.seen(n)
		}
		s.setCondition(n, object.Reachable, object.False, reason, message)
		return true
	})
}

// Fenced implements [link.Nodes].
func (s *Service) Fenced(ctx context.Context, nodeUID string, f link.Fencing) error {
	name := func(host, addr string) string {
		if host == "" {
			return addr
		}
		return host + " (" + addr + ")"
	}
	message := fmt.Sprintf("Two machines have the identity of this node: %s is the node, and %s was refused. One is a copy of the other. "+
		"If the copy shall be a node of its own, create a token for a new node and run `smbgw agent enrol` there; otherwise stop it.",
		name(f.Holder, f.HolderAddr), name(f.Newcomer, f.NewcomerAddr))
	return s.edit(ctx, nodeUID, func(n *Node) bool {
		c := object.Find(n.Status.Conditions, ConditionFenced)
		if c != nil && c.Status == object.True && c.Message == message {
			return false // the copy asks again every half minute
		}
		s.setCondition(n, ConditionFenced, object.True, ReasonCloned, message)
		return true
	})
}

// Unfenced implements [link.Nodes].
func (s *Service) Unfenced(ctx context.Context, nodeUID string) error {
	return s.edit(ctx, nodeUID, func(n *Node) bool {
		if !object.Is(n.Status.Conditions, ConditionFenced, object.True) {
			return false
		}
		s.setCondition(n, ConditionFenced, object.False, ReasonNoCopy, "The copy of this machine has not come back.")
		return true
	})
}

// Revision implements [link.Store].
func (s *Service) Revision(ctx context.Context, nodeUID string) (r desired.Revision, err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		if r.Epoch, err = s.store.storeEpoch(ctx); err != nil {
			return err
		}
		r.Number, err = s.log.Number(ctx, event.Node(nodeUID), event.AllNodes)
		return err
	})
	return r, err
}

// Snapshot implements [link.Store]: content and revision are of one state of the store.
func (s *Service) Snapshot(ctx context.Context, nodeUID string) (*desired.Snapshot, error) {
	snap := &desired.Snapshot{}
	err := s.db.Read(ctx, func(ctx context.Context) error {
		rev, err := s.Revision(ctx, nodeUID)
		if err != nil {
			return err
		}
		*snap = desired.Snapshot{
			Format: desired.FormatVersion, NodeUID: nodeUID, Revision: rev,
			Shares: []desired.Share{}, Users: []desired.User{}, Groups: []desired.Group{},
		}
		for _, c := range append([]desired.Contributor{s}, s.n.Contributors...) {
			if err := c.Contribute(ctx, nodeUID, snap); err != nil {
				return err
			}
		}
		return nil
	})
	snap.Sort()
	return snap, err
}

// Contribute implements [desired.Contributor].
func (s *Service) Contribute(ctx context.Context, nodeUID string, snap *desired.Snapshot) error {
	n, err := s.store.get(ctx, nodeUID)
	snap.ConfirmedEpoch, snap.ConfirmedNumber = n.confirmedEpoch, n.confirmedSeq
	return err
}

// Report implements [link.Store].
func (s *Service) Report(ctx context.Context, r *desired.Report) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		if err := s.Observe(ctx, r); err != nil {
			return err
		}
		epoch, err := s.store.storeEpoch(ctx)
		if err != nil {
			return err
		}
		theirs := *r
		if r.Revision.Epoch != epoch {
			theirs.Revision.Number = 0 // numbers of another epoch confirm nothing
		}
		for _, o := range s.n.Observers {
			if err := o.Observe(ctx, &theirs); err != nil {
				return err
			}
		}
		return nil
	})
}

// Observe implements [desired.Observer] for the node's own part.
func (s *Service) Observe(ctx context.Context, r *desired.Report) error {
	n, err := s.store.lock(ctx, r.NodeUID)
	if problem.Is(err, CodeNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := s.clock.Now()
	changed := n.observe(r, now)
	if last := n.Status.LastSeenAt; last == nil || now.Sub(*last) >= seenEvery {
		s.seen(&n)
		if !changed {
			return s.store.update(ctx, &n)
		}
	}
	if !changed {
		return nil
	}
	return s.status(ctx, &n)
}

// Behind implements [link.Store]: a new store epoch begins, so every node holds its removals until a person has
// confirmed them.
func (s *Service) Behind(ctx context.Context, nodeUID string, applied desired.Revision) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		epoch, err := s.store.storeEpoch(ctx)
		if err != nil || epoch != applied.Epoch {
			return err // another node has told already
		}
		fresh := newEpoch()
		if err := s.store.setStoreEpoch(ctx, fresh); err != nil {
			return err
		}
		return s.recorder.Record(ctx, event.Change{
			Action: "node.store_restored", Kind: "node", UID: nodeUID, Name: "store epoch " + fresh, Revision: 0,
			Before: map[string]any{"storeEpoch": epoch, "appliedByNode": applied.Number}, After: map[string]any{"storeEpoch": fresh},
			Scopes: []string{event.AllNodes},
		})
	})
}
