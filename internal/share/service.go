package share

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Nodes is what this room needs of the room node.
type Nodes interface {
	// Resolve finds a node by UID or name, or the only node for "". roots are its share roots, empty until the node has
	// reported them. Errors are problems.
	Resolve(ctx context.Context, ref string) (uid, name string, roots []string, err error)
	// Names returns the names of all nodes by UID.
	Names(ctx context.Context) (map[string]string, error)
}

// Principals is what this room needs of the room identity.
type Principals interface {
	// Missing returns those of names ("alice", "@staff") that name no user or group.
	Missing(ctx context.Context, names []string) ([]string, error)
}

// Service holds the rules for shares. It is safe for concurrent use.
type Service struct {
	db         *db.DB
	store      store
	clock      clock.Clock
	log        *event.Log
	recorder   event.Recorder
	nodes      Nodes
	principals Principals
}

// NewService returns the room over its neighbours.
func NewService(d *db.DB, c clock.Clock, log *event.Log, r event.Recorder, nodes Nodes, principals Principals) *Service {
	return &Service{db: d, store: store{d}, clock: c, log: log, recorder: r, nodes: nodes, principals: principals}
}

// List returns one page of shares.
func (s *Service) List(ctx context.Context, q db.ListQuery) (page db.Page[Share], err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		if page, err = s.store.list(ctx, q); err != nil {
			return err
		}
		names, err := s.nodes.Names(ctx)
		for i := range page.Items {
			page.Items[i].NodeName = names[page.Items[i].Node]
		}
		return err
	})
	return page, err
}

// Get returns one share.
func (s *Service) Get(ctx context.Context, uid string) (share Share, err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		if share, err = s.store.get(ctx, uid); err != nil {
			return err
		}
		_, share.NodeName, _, err = s.nodes.Resolve(ctx, share.Node)
		return err
	})
	return share, err
}

// Create stores a new share. It is not Ready before its node has said so.
func (s *Service) Create(ctx context.Context, spec Spec) (Share, error) {
	spec.normalize()
	now := s.clock.Now()
	share := Share{Spec: spec, Meta: object.Meta{UID: object.UID(ctx), Generation: 1, Revision: 1, CreatedAt: now, UpdatedAt: now}}
	share.Status.Conditions = []object.Condition{}
	share.settle()
	err := s.db.Tx(ctx, func(ctx context.Context) error {
		// The same request once more, after a crash that lost its answer.
		if known, err := s.store.get(ctx, share.UID); err == nil {
			_, known.NodeName, _, err = s.nodes.Resolve(ctx, known.Node)
			share = known
			return err
		}
		if err := s.settlePlace(ctx, &share); err != nil {
			return err
		}
		if err := s.store.insert(ctx, &share); err != nil {
			return s.nameTaken(err, &share)
		}
		return s.record(ctx, "share.created", nil, &share)
	})
	return share, err
}

// Update replaces the spec of a share.
func (s *Service) Update(ctx context.Context, uid, ifMatch string, spec Spec) (share Share, err error) {
	spec.normalize()
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		old, err := s.store.get(ctx, uid)
		if err != nil {
			return err
		}
		if err := old.Match(ifMatch); err != nil {
			return err
		}
		if !old.deletingAt.IsZero() {
			return problem.New(http.StatusConflict, CodeDeleting, "This share is being deleted. Create it again to keep it; its files are still there.")
		}
		share = old
		if share.Spec = spec; spec.Node == "" {
			share.Node = old.Node
		}
		if spec.Path == "" {
			share.Path = old.Path
		}
		if err := s.settlePlace(ctx, &share); err != nil {
			return err
		}
		if share.Node != old.Node {
			return problem.Conflict("/node", CodeNodeFixed,
				"A share stays on its node, because its files do. Create a share on the other node and copy the files.")
		}
		if reflect.DeepEqual(share.Spec, old.Spec) {
			return nil
		}
		share.Generation++
		share.Revision++
		share.UpdatedAt = s.clock.Now()
		share.settle()
		if err := s.store.update(ctx, &share); err != nil {
			return s.nameTaken(err, &share)
		}
		return s.record(ctx, "share.changed", &old, &share)
	})
	return share, err
}

// Delete takes a share out of service. The object goes when its node has confirmed that; its files stay.
func (s *Service) Delete(ctx context.Context, uid, ifMatch string) (share Share, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if share, err = s.store.get(ctx, uid); err != nil {
			return err
		}
		if err := share.Match(ifMatch); err != nil {
			return err
		}
		if _, share.NodeName, _, err = s.nodes.Resolve(ctx, share.Node); err != nil {
			return err
		}
		if !share.deletingAt.IsZero() {
			return nil
		}
		old := share
		share.Revision++
		share.deletingAt = s.clock.Now()
		share.UpdatedAt = share.deletingAt
		share.settle()
		if err := s.record(ctx, "share.deleted", &old, &share); err != nil {
			return err
		}
		if share.deletingSeq, err = s.log.Head(ctx); err != nil {
			return err
		}
		return s.store.update(ctx, &share)
	})
	return share, err
}

// ForgetNode drops all shares of a node that is removed from the product; nothing on the node is touched.
func (s *Service) ForgetNode(ctx context.Context, nodeUID string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		shares, err := s.store.ofNode(ctx, nodeUID)
		if err != nil {
			return err
		}
		for i := range shares {
			if err := s.store.delete(ctx, shares[i].UID); err != nil {
				return err
			}
			if err := s.record(ctx, "share.forgotten", &shares[i], nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// SharesNaming returns the names of the shares that name a principal ("alice", "@staff").
func (s *Service) SharesNaming(ctx context.Context, principal string) ([]string, error) {
	shares, err := s.store.all(ctx)
	var names []string
	for _, sh := range shares {
		if slices.Contains(slices.Concat(sh.ValidUsers, sh.ReadList, sh.WriteList), principal) {
			names = append(names, sh.Name)
		}
	}
	return names, err
}

// settlePlace checks the spec against its neighbours and fills what it leaves open.
func (s *Service) settlePlace(ctx context.Context, share *Share) error {
	bad := share.check()
	uid, name, roots, err := s.nodes.Resolve(ctx, share.Node)
	if err != nil {
		return err
	}
	share.Node, share.NodeName = uid, name
	if share.Path == "" && len(roots) > 0 {
		share.Path = strings.TrimSuffix(roots[0], "/") + "/" + share.Name
	}
	if len(bad) > 0 {
		return problem.Invalid(bad...)
	}
	if len(roots) > 0 && !slices.ContainsFunc(roots, func(r string) bool { return below(share.Path, r) }) {
		return problem.Invalid(problem.Field{Pointer: "/path", Code: CodePathOutside, Detail: fmt.Sprintf(
			"The path must lie below a share root of node %s: %s. Choose such a path, or start its agent with another --share-root.",
			name, strings.Join(roots, ", "))})
	}
	if share.Path != "" {
		other, err := s.store.overlapping(ctx, share)
		if err != nil {
			return err
		}
		if other != nil {
			return problem.Conflict("/path", CodePathTaken, fmt.Sprintf(
				"%s overlaps with %s of share %q: two shares on the same files would bypass each other's rules. Choose another path.",
				share.Path, other.Path, other.Name))
		}
	}
	return s.checkPrincipals(ctx, share)
}

func (s *Service) checkPrincipals(ctx context.Context, share *Share) error {
	missing, err := s.principals.Missing(ctx, slices.Concat(share.ValidUsers, share.ReadList, share.WriteList))
	if err != nil || len(missing) == 0 {
		return err
	}
	var bad []problem.Field
	for _, l := range []struct {
		field string
		list  []string
	}{{"validUsers", share.ValidUsers}, {"readList", share.ReadList}, {"writeList", share.WriteList}} {
		for i, p := range l.list {
			if slices.Contains(missing, p) {
				bad = append(bad, problem.Field{Pointer: fmt.Sprintf("/%s/%d", l.field, i), Code: CodeUnknownPrincipal,
					Detail: fmt.Sprintf("There is no user or group %q. Create it first, or take it out.", p)})
			}
		}
	}
	return problem.Invalid(bad...)
}

func (s *Service) nameTaken(err error, share *Share) error {
	if !db.IsUnique(err) {
		return err
	}
	return problem.Conflict("/name", CodeNameTaken, fmt.Sprintf(
		"Node %s already has a share %q (upper and lower case are the same to SMB clients). Choose another name.", share.NodeName, share.Name))
}

func (s *Service) record(ctx context.Context, action string, before, after *Share) error {
	it := after
	if it == nil {
		it = before
	}
	return s.recorder.Record(ctx, event.Change{
		Action: action, Kind: "share", UID: it.UID, Name: it.Name, Revision: it.Revision,
		Before: before.public(), After: after.public(), Scopes: []string{event.Node(it.Node)},
	})
}
