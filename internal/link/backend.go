package link

import (
	"context"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
)

// Peer is an agent whose certificate was verified.
type Peer struct {
	NodeUID string
	// KeyHash names the key of its certificate (pki.KeyHash); it changes only by enrolling anew.
	KeyHash string
	// Addr is the IP address it comes from, behind NAT that of the router.
	Addr string
}

// Facts are what a machine tells about itself.
type Facts struct {
	Hostname     string
	AgentVersion string
	OS           string
}

// Enrolment is a machine's wish to become a node.
type Enrolment struct {
	Token   secret.String
	KeyHash string
	Facts   Facts
	Addr    string
}

// Enrolled is the answer to an [Enrolment].
type Enrolled struct {
	NodeUID   string
	NodeName  string
	LinkEpoch uint64
}

// Attachment tells how an agent got the link.
type Attachment struct {
	LinkEpoch uint64
	Facts     Facts
	// Restored: the agent came with an older link epoch than ours, so its disk is an older copy.
	Restored bool
}

// Fencing tells that an agent was refused because another one holds the link with the same identity.
type Fencing struct {
	HolderAddr   string
	NewcomerAddr string
	// Holder and Newcomer are host names as the agents tell them.
	Holder, Newcomer string
}

// Nodes is what the link needs to know about nodes. Errors that are problems reach the agent with code and detail;
// others only the log. For one node, Admit, Attached, Detached and Fenced of Attach streams never overlap.
type Nodes interface {
	// Enrol redeems a token. It must give the same answer again for the same token and key while the token lasts.
	Enrol(ctx context.Context, e Enrolment) (Enrolled, error)
	// Admit returns the stored link epoch of the peer's node; a problem if there is no such node or another key is
	// enrolled for it.
	Admit(ctx context.Context, p Peer) (linkEpoch uint64, err error)
	// Attached stores the link epoch. The node is online from now on.
	Attached(ctx context.Context, p Peer, a Attachment) error
	// Detached tells that nobody holds the node's link any more.
	Detached(ctx context.Context, nodeUID string) error
	// Fenced tells that a copy was refused, and Unfenced that it has not come back for a while.
	Fenced(ctx context.Context, nodeUID string, f Fencing) error
	Unfenced(ctx context.Context, nodeUID string) error
}

// Store is what the link carries.
type Store interface {
	// Revision returns the revision of the node's current snapshot; cheap.
	Revision(ctx context.Context, nodeUID string) (desired.Revision, error)
	Snapshot(ctx context.Context, nodeUID string) (*desired.Snapshot, error)
	// Report stores a report; its NodeUID has been checked.
	Report(ctx context.Context, r *desired.Report) error
	// Behind tells that an agent has applied a later revision than ours of the same store epoch: the control plane was
	// restored from an older backup and must start a new store epoch. It is called before the agent gets a snapshot.
	Behind(ctx context.Context, nodeUID string, applied desired.Revision) error
}
