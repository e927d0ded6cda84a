package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Codes of problems with nodes.
const (
	CodeNotFound       = "node.not_found"
	CodeNameInvalid    = "node.name_invalid"
	CodeNameTaken      = "node.name_taken"
	CodeAddressInvalid = "node.address_invalid"
	CodeTokenInvalid   = "node.token_invalid"
	CodeNone           = "node.none_enrolled"
	CodeAmbiguous      = "node.ambiguous"
	CodeNothingHeld    = "node.nothing_held"
)

// Options say how agents find the server.
type Options struct {
	ServerURL   string // "https://host:port", for the command that is shown to people
	Fingerprint string // of the server's CA
}

// Neighbours are what the server passes in, once, before it serves.
type Neighbours struct {
	// Contributors fill snapshots and Observers take reports; this room adds its own part.
	Contributors []desired.Contributor
	Observers    []desired.Observer
	// Forget drops what other rooms hold of a node that is deleted, in the same transaction.
	Forget []func(ctx context.Context, nodeUID string) error
	// Disconnect ends the link of a node that was deleted or enrolled anew.
	Disconnect func(nodeUID string)
}

// Service holds the rules for nodes. It is safe for concurrent use.
type Service struct {
	db       *db.DB
	store    store
	clock    clock.Clock
	log      *event.Log
	recorder event.Recorder
	o        Options
	n        Neighbours
}

// NewService returns the room. [Service.Bind] and [Service.Start] follow before it is used.
func NewService(d *db.DB, c clock.Clock, log *event.Log, r event.Recorder, o Options) *Service {
	return &Service{db: d, store: store{d}, clock: c, log: log, recorder: r, o: o, n: Neighbours{Disconnect: func(string) {}}}
}

// Bind introduces the neighbours, which in turn may need this room.
func (s *Service) Bind(n Neighbours) {
	if n.Disconnect == nil {
		n.Disconnect = func(string) {}
	}
	s.n = n
}

// Start makes the store epoch if there is none, and takes all nodes for offline until their agents come back.
func (s *Service) Start(ctx context.Context) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		epoch, err := s.store.storeEpoch(ctx)
		if err != nil {
			return err
		}
		if epoch == "" {
			if err := s.store.setStoreEpoch(ctx, newEpoch()); err != nil {
				return err
			}
		}
		all, err := s.store.all(ctx)
		if err != nil {
			return err
		}
		for _, n := range all {
			if n.attached {
				if err := s.detach(ctx, n.UID, ReasonRestarted, "The server has just started and the node's agent has not come back yet."); err != nil {
					return err
				}
			}
			// Who was refused is remembered by the server that has ended. A copy that is still there is refused again.
			if err := s.Unfenced(ctx, n.UID); err != nil {
				return err
			}
		}
		return s.store.pruneEnrolments(ctx, s.clock.Now().Add(-keepEnrolments))
	})
}

func newEpoch() string { return strings.ToLower(rand.Text()[:12]) }

// List returns one page of nodes.
func (s *Service) List(ctx context.Context, q db.ListQuery) (page db.Page[Node], err error) {
	err = s.db.Read(ctx, func(ctx context.Context) error {
		page, err = s.store.list(ctx, q)
		return err
	})
	return page, err
}

// Get returns one node.
func (s *Service) Get(ctx context.Context, uid string) (Node, error) { return s.store.get(ctx, uid) }

// Update replaces the spec of a node.
func (s *Service) Update(ctx context.Context, uid, ifMatch string, spec Spec) (n Node, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		old, err := s.store.lock(ctx, uid)
		if err != nil {
			return err
		}
		if err := old.Match(ifMatch); err != nil {
			return err
		}
		if err := spec.check(); err != nil {
			return err
		}
		n = old
		if spec == old.Spec {
			return nil
		}
		n.Spec = spec
		n.Generation++
		n.Revision++
		n.UpdatedAt = s.clock.Now()
		n.settle()
		if err := s.store.update(ctx, &n); err != nil {
			return nameTaken(err, n.Name)
		}
		return s.record(ctx, "node.changed", &old, &n)
	})
	return n, err
}

// Delete forgets a node and its shares. Nothing on the machine is touched: it goes on serving what it has until its
// agent is stopped there, but its certificate is refused from now on.
func (s *Service) Delete(ctx context.Context, uid, ifMatch string) error {
	return s.db.Tx(ctx, func(ctx context.Context) error {
		n, err := s.store.lock(ctx, uid)
		if err != nil {
			return err
		}
		if err := n.Match(ifMatch); err != nil {
			return err
		}
		for _, forget := range s.n.Forget {
			if err := forget(ctx, uid); err != nil {
				return err
			}
		}
		if err := s.store.delete(ctx, uid); err != nil {
			return err
		}
		n.Revision++
		db.AfterCommit(ctx, func() { s.n.Disconnect(uid) })
		return s.record(ctx, "node.deleted", &n, nil)
	})
}

// ConfirmRemovals lets the node remove what it holds, up to the state of the store as it is now.
func (s *Service) ConfirmRemovals(ctx context.Context, uid, ifMatch string) (n Node, err error) {
	err = s.db.Tx(ctx, func(ctx context.Context) error {
		if n, err = s.store.lock(ctx, uid); err != nil {
			return err
		}
		if err := n.Match(ifMatch); err != nil {
			return err
		}
		if n.confirmedEpoch, err = s.store.storeEpoch(ctx); err != nil {
			return err
		}
		n.Revision++
		n.UpdatedAt = s.clock.Now()
		change := s.change("node.removals_confirmed", &n, &n)
		change.After = map[string]any{"held": n.Status.Held}
		change.Scopes = []string{event.Node(uid)}
		if err := s.recorder.Record(ctx, change); err != nil {
			return err
		}
		// The number that this very change has given to the node's snapshot is the last one that is covered.
		if n.confirmedSeq, err = s.log.Head(ctx); err != nil {
			return err
		}
		return s.store.update(ctx, &n)
	})
	return n, err
}

// Resolve finds a node by UID or name, or the only node for "". roots are its share roots, empty until the node has
// reported them. Errors are problems on the field "/node".
func (s *Service) Resolve(ctx context.Context, ref string) (uid, name string, roots []string, err error) {
	if ref == "" {
		return s.only(ctx)
	}
	n, err := s.store.get(ctx, ref)
	if problem.Is(err, CodeNotFound) {
		n, err = s.store.byName(ctx, ref)
	}
	if problem.Is(err, CodeNotFound) {
		err = problem.Invalid(problem.Field{Pointer: "/node", Code: CodeNotFound, Detail: fmt.Sprintf("There is no node %q. It may have been deleted.", ref)})
	}
	return n.UID, n.Name, n.ShareRoots, err
}

func (s *Service) only(ctx context.Context) (uid, name string, roots []string, err error) {
	all, err := s.store.all(ctx)
	if err != nil {
		return "", "", nil, err
	}
	switch len(all) {
	case 0:
		return "", "", nil, problem.Invalid(problem.Field{Pointer: "/node", Code: CodeNone, Detail: "There is no node yet. Enrol one first."})
	case 1:
		return all[0].UID, all[0].Name, all[0].ShareRoots, nil
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return "", "", nil, problem.Invalid(problem.Field{Pointer: "/node", Code: CodeAmbiguous,
		Detail: "There are several nodes; say which: " + strings.Join(names, ", ") + "."})
}

// Names returns the names of all nodes by UID.
func (s *Service) Names(ctx context.Context) (map[string]string, error) {
	all, err := s.store.all(ctx)
	names := make(map[string]string, len(all))
	for _, n := range all {
		names[n.UID] = n.Name
	}
	return names, err
}

var (
	namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	dnsPattern  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?$`)
)

func checkName(name string) []problem.Field {
	if namePattern.MatchString(name) {
		return nil
	}
	return []problem.Field{{Pointer: "/name", Code: CodeNameInvalid,
		Detail: "A node's name has 1 to 63 lower-case letters, digits, dots and dashes, and begins and ends with a letter or digit, such as pve1."}}
}

func (sp Spec) check() error {
	bad := checkName(sp.Name)
	if a := sp.AdvertisedAddress; a != "" && !dnsPattern.MatchString(a) {
		if _, err := netip.ParseAddr(a); err != nil {
			bad = append(bad, problem.Field{Pointer: "/advertisedAddress", Code: CodeAddressInvalid,
				Detail: "The address must be an IP address or a DNS name, without a port."})
		}
	}
	return problem.Invalid(bad...)
}

func nameTaken(err error, name string) error {
	if !db.IsUnique(err) {
		return err
	}
	return taken(name)
}

func taken(name string) error {
	return problem.Conflict("/name", CodeNameTaken, fmt.Sprintf(
		"There is a node %q already. Choose another name; or, to enrol that node's machine anew, set replace.", name))
}

func (s *Service) change(action string, before, after *Node) event.Change {
	it := after
	if it == nil {
		it = before
	}
	return event.Change{Action: action, Kind: "node", UID: it.UID, Name: it.Name, Revision: it.Revision, Before: before.public(), After: after.public()}
}

func (s *Service) record(ctx context.Context, action string, before, after *Node) error {
	return s.recorder.Record(ctx, s.change(action, before, after))
}

// status stores what was observed of n and tells everybody.
func (s *Service) status(ctx context.Context, n *Node) error {
	n.settle()
	if err := s.store.update(ctx, n); err != nil {
		return err
	}
	return s.log.Append(ctx, event.Event{Type: "node.status", Kind: "node", UID: n.UID, Name: n.Name, Revision: n.Revision})
}

// setCondition sets one of the server's own conditions.
func (s *Service) setCondition(n *Node, typ string, status object.Status, reason, message string) {
	n.Status.Conditions = object.Set(slices.Clone(n.Status.Conditions), object.Condition{
		Type: typ, Status: status, Reason: reason, Message: message, ObservedGeneration: n.Generation,
	}, s.clock.Now())
}

func unauthorized(code, detail string) error {
	return problem.New(http.StatusUnauthorized, code, detail)
}
