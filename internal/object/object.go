// Package object holds what every stored thing has in common: identity, generation, and conditions.
//
// Owns: [Meta], [Condition] and the rules by which a condition changes. Does not own storage or any product noun.
//
// Start reading at [Meta].
package object

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Meta is the part of an object that only the server writes.
type Meta struct {
	// UID names one incarnation of the object; a deleted and re-created share has another UID.
	UID string `json:"uid" doc:"Identifies this incarnation of the object"`
	// Generation counts changes of the spec, from 1.
	Generation int64 `json:"generation" doc:"Counts changes of the spec"`
	// Revision counts every change that a client made, deletion included; it is the ETag. What nodes report does not
	// count, so that a probe never makes an edit stale.
	Revision  int64     `json:"revision" doc:"Counts every change that a client made, not what nodes report; the ETag is this number in quotes"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// ETag returns the strong entity tag of the object, quotes included (RFC 9110, 8.8.3).
func (m Meta) ETag() string { return strconv.Quote(strconv.FormatInt(m.Revision, 10)) }

// NewUID returns a new time-ordered UID (UUIDv7).
func NewUID() string { return uuid.Must(uuid.NewV7()).String() }

type uidSeedKey struct{}

// WithUIDSeed makes the first [UID] drawn from ctx a pure function of seed, so that a create that is tried again after
// a crash meets its own first attempt instead of making a twin. seed must be unique to one request of one actor.
func WithUIDSeed(ctx context.Context, seed string) context.Context {
	return context.WithValue(ctx, uidSeedKey{}, seed)
}

// UID returns the UID for the object that the request in ctx creates: derived from the seed of [WithUIDSeed] if there
// is one, random otherwise.
func UID(ctx context.Context) string {
	if seed, ok := ctx.Value(uidSeedKey{}).(string); ok {
		return uuid.NewSHA1(uuid.Nil, []byte(seed)).String()
	}
	return NewUID()
}

// Status of a condition.
type Status string

// The three values of a condition's status.
const (
	True    Status = "True"
	False   Status = "False"
	Unknown Status = "Unknown"
)

// Condition types that several kinds of object share.
const (
	Ready     = "Ready"     // summary: a real client has just used it
	Applied   = "Applied"   // the node's Samba holds this generation
	Reachable = "Reachable" // the server has a live link / the client could connect
	InSync    = "InSync"    // nothing differs from the spec
	Degraded  = "Degraded"  // works, but not as promised
)

// Condition is one observed fact about an object.
type Condition struct {
	Type               string    `json:"type" example:"Ready"`
	Status             Status    `json:"status" enum:"True,False,Unknown"`
	Reason             string    `json:"reason" doc:"A stable code" example:"probe.passed"`
	Message            string    `json:"message" doc:"A sentence for people; it says what to do"`
	ObservedGeneration int64     `json:"observedGeneration"`
	LastTransitionAt   time.Time `json:"lastTransitionAt"`
}

// Find returns the condition of type typ, or nil.
func Find(conds []Condition, typ string) *Condition {
	if i := slices.IndexFunc(conds, func(c Condition) bool { return c.Type == typ }); i >= 0 {
		return &conds[i]
	}
	return nil
}

// Is reports whether conds has a condition of type typ with status s.
func Is(conds []Condition, typ string, s Status) bool {
	c := Find(conds, typ)
	return c != nil && c.Status == s
}

// Set returns conds with c in it. LastTransitionAt moves to now only when the status differs from the one before.
// The input slice is not changed.
func Set(conds []Condition, c Condition, now time.Time) []Condition {
	out := slices.Clone(conds)
	c.LastTransitionAt = now
	if old := Find(out, c.Type); old != nil {
		if old.Status == c.Status {
			c.LastTransitionAt = old.LastTransitionAt
		}
		*old = c
		return out
	}
	out = append(out, c)
	slices.SortFunc(out, func(a, b Condition) int {
		if a.Type < b.Type {
			return -1
		}
		return 1
	})
	return out
}

// Match returns nil if ifMatch, the value of an If-Match header, names this state of the object or is "*";
// otherwise a problem with code request.stale.
func (m Meta) Match(ifMatch string) error {
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == m.ETag() {
			return nil
		}
	}
	return problem.Stale()
}
