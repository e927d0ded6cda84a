package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

const (
	tokenPrefix    = "smbgw-enrol-"
	defaultTTL     = time.Hour
	keepEnrolments = 30 * 24 * time.Hour // after they have expired
)

// Tokens have 130 random bits, so a plain hash is enough.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// CreateEnrolment makes a one-time token. Only its hash is stored. The same request once more (see [object.UID]) gives
// the same enrolment with another token, unless it was used.
func (s *Service) CreateEnrolment(ctx context.Context, spec EnrolmentSpec) (NewEnrolment, error) {
	if err := problem.Invalid(checkName(spec.Name)...); err != nil {
		return NewEnrolment{}, err
	}
	ttl := time.Duration(spec.TTLSeconds) * time.Second
	if ttl == 0 {
		ttl = defaultTTL
	}
	now := s.clock.Now()
	token := tokenPrefix + rand.Text()
	r := &enrolmentRow{UID: object.UID(ctx), Name: spec.Name, TokenHash: hashToken(token), CreatedAt: now, ExpiresAt: now.Add(ttl)}
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		existing, err := s.store.byName(ctx, spec.Name)
		switch {
		case err == nil && !spec.Replace:
			return taken(spec.Name)
		case err == nil:
			r.NodeUID = existing.UID
		case !problem.Is(err, CodeNotFound):
			return err
		}
		known, err := s.store.enrolment(ctx, "uid", r.UID)
		if err != nil {
			return err
		}
		if known != nil && known.UsedBy != "" {
			return problem.New(http.StatusConflict, CodeTokenInvalid, "This request was carried out before, and its token is used. Make a new request.")
		}
		if known != nil {
			return s.store.updateEnrolment(ctx, r)
		}
		if err := s.store.insertEnrolment(ctx, r); err != nil {
			return err
		}
		return s.recorder.Record(ctx, event.Change{
			Action: "node.enrolment_created", Kind: "node", UID: r.UID, Name: r.Name, Revision: 1, After: r.enrolment(),
		})
	})
	if err != nil {
		return NewEnrolment{}, err
	}
	return NewEnrolment{
		Enrolment: r.enrolment(), Token: token, Fingerprint: s.o.Fingerprint, Server: s.o.ServerURL,
		Command: fmt.Sprintf("smbgw agent enrol --server %s --fingerprint %s --token-file -", s.o.ServerURL, s.o.Fingerprint),
	}, nil
}

// Enrolments returns all invitations of the last weeks, oldest first.
func (s *Service) Enrolments(ctx context.Context) ([]Enrolment, error) {
	rows, err := s.store.enrolments(ctx)
	out := make([]Enrolment, len(rows))
	for i := range rows {
		out[i] = rows[i].enrolment()
	}
	return out, err
}

// RevokeEnrolment makes a token worthless. A node that was enrolled with it stays.
func (s *Service) RevokeEnrolment(ctx context.Context, uid string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		r, err := s.store.enrolment(ctx, "uid", uid)
		if err != nil {
			return err
		}
		if r == nil {
			return problem.NotFound("enrolment", uid)
		}
		if err := s.store.deleteEnrolment(ctx, uid); err != nil {
			return err
		}
		return s.recorder.Record(ctx, event.Change{
			Action: "node.enrolment_revoked", Kind: "node", UID: r.UID, Name: r.Name, Revision: 2, Before: r.enrolment(),
		})
	})
}

// Enrol implements [link.Nodes].
func (s *Service) Enrol(ctx context.Context, e link.Enrolment) (out link.Enrolled, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		r, err := s.store.enrolment(ctx, "token_hash", hashToken(e.Token.Reveal()))
		if err != nil {
			return err
		}
		if r == nil || !s.clock.Now().Before(r.ExpiresAt) || (r.UsedBy != "" && r.UsedBy != e.KeyHash) {
			// One text for all: who guesses tokens shall not learn which ones there were.
			return unauthorized(CodeTokenInvalid, "The enrolment token is unknown, expired or already used. Create a new one on the server.")
		}
		if r.UsedBy != "" { // its answer was lost
			n, err := s.store.get(ctx, r.NodeUID)
			out = enrolled(&n)
			return err
		}
		ctx = event.WithActor(ctx, event.Actor{Kind: "node", UID: r.NodeUID, Name: r.Name, RemoteAddr: e.Addr})
		n, err := s.redeem(ctx, r, e)
		if err != nil {
			return err
		}
		r.UsedBy, r.NodeUID = e.KeyHash, n.UID
		won, err := s.store.use(ctx, r)
		if err != nil {
			return err
		}
		if !won {
			return unauthorized(CodeTokenInvalid, "The enrolment token has just been used by another machine. Create a new one on the server.")
		}
		out = enrolled(n)
		return nil
	})
	return out, err
}

func enrolled(n *Node) link.Enrolled {
	return link.Enrolled{NodeUID: n.UID, NodeName: n.Name, LinkEpoch: n.linkEpoch}
}

// redeem makes the node of an enrolment, or gives an existing one its new key.
func (s *Service) redeem(ctx context.Context, r *enrolmentRow, e link.Enrolment) (*Node, error) {
	now := s.clock.Now()
	if r.NodeUID != "" {
		n, err := s.store.lock(ctx, r.NodeUID)
		if err != nil {
			return nil, err
		}
		n.keyHash = e.KeyHash
		n.describe(e.Facts, e.Addr)
		n.Revision++
		n.UpdatedAt = now
		n.settle()
		db.AfterCommit(ctx, func() { s.n.Disconnect(n.UID) })
		if err := s.store.update(ctx, &n); err != nil {
			return nil, err
		}
		return &n, s.record(ctx, "node.enrolled_anew", &n, &n)
	}
	n := Node{
		Meta: object.Meta{UID: object.NewUID(), Generation: 1, Revision: 1, CreatedAt: now, UpdatedAt: now},
		Spec: Spec{Name: r.Name}, keyHash: e.KeyHash,
	}
	n.describe(e.Facts, e.Addr)
	s.setCondition(&n, object.Reachable, object.Unknown, ReasonDetached, "The machine was enrolled; its agent has not come yet. Start it: systemctl start smbgw-agent.")
	n.settle()
	if err := s.store.insert(ctx, &n); err != nil {
		return nil, nameTaken(err, n.Name)
	}
	return &n, s.record(ctx, "node.enrolled", nil, &n)
}

func (n *Node) describe(f link.Facts, addr string) {
	n.Status.Hostname, n.Status.AgentVersion, n.Status.OS, n.Status.LinkAddress = f.Hostname, f.AgentVersion, f.OS, addr
}
