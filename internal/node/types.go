package node

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Spec is what a person says about a node.
type Spec struct {
	Name string `json:"name" minLength:"1" maxLength:"63" doc:"Lower-case letters, digits, dot and dash" example:"pve1"`
	// AdvertisedAddress goes before the address that the agent reports.
	AdvertisedAddress string `json:"advertisedAddress" required:"false" maxLength:"253" doc:"Name or address by which SMB clients reach the node; by default the one where smbd listens, or from which the agent comes" example:"files.example.com"`
}

// Phase sums a node up in one word.
type Phase string

// Phases.
const (
	Pending Phase = "Pending" // enrolled, its agent has not come yet
	Online  Phase = "Online"
	Offline Phase = "Offline" // its agent is not connected; its shares may well work
	Fenced  Phase = "Fenced"  // online, but a copy of the machine wants to be this node too
)

// Condition types of this room, beside [object.Reachable].
const ConditionFenced = "Fenced"

// Reasons of conditions.
const (
	ReasonAttached  = "link.attached"
	ReasonRestored  = "link.restored"
	ReasonDetached  = "link.detached"
	ReasonRestarted = "link.server_restarted"
	ReasonCloned    = "link.cloned"
	ReasonNoCopy    = "link.no_copy"
)

// Status is what was observed. The link and reports write it.
type Status struct {
	Phase           Phase              `json:"phase" enum:"Pending,Online,Offline,Fenced"`
	LastSeenAt      *time.Time         `json:"lastSeenAt,omitempty" doc:"When its agent was last heard, give or take half a minute"`
	LinkAddress     string             `json:"linkAddress,omitempty" doc:"Where its agent connects from"`
	Hostname        string             `json:"hostname,omitempty"`
	AgentVersion    string             `json:"agentVersion,omitempty"`
	SambaVersion    string             `json:"sambaVersion,omitempty"`
	OS              string             `json:"os,omitempty"`
	Backend         string             `json:"backend,omitempty" example:"registry"`
	NSS             string             `json:"nss,omitempty" example:"extrausers"`
	SmbdPID         int                `json:"smbdPID,omitempty"`
	SmbdStarted     *time.Time         `json:"smbdStarted,omitempty"`
	SmbdRestarts    int                `json:"smbdRestarts"`
	AppliedRevision string             `json:"appliedRevision,omitempty" doc:"Store epoch and number of the snapshot that the last report speaks of"`
	Held            []string           `json:"held" nullable:"false" doc:"Shares that should go but are kept until removals are confirmed"`
	Conditions      []object.Condition `json:"conditions" nullable:"false"`
}

// Node is the whole object.
type Node struct {
	object.Meta
	Spec
	ShareRoots []string `json:"shareRoots" nullable:"false" doc:"Directories below which shares may lie, as the agent was started with"`
	Address    string   `json:"address" doc:"Where SMB clients reach the node; empty until its agent has reported"`
	SMBPort    int      `json:"smbPort" doc:"TCP port of SMB; 0 until its agent has reported" example:"445"`
	Status     Status   `json:"status"`

	smbAddress     string // as reported, host:port
	keyHash        string
	linkEpoch      uint64
	attached       bool
	confirmedEpoch string
	confirmedSeq   int64
}

// public returns what the audit trail keeps of a node.
func (n *Node) public() any {
	if n == nil {
		return nil
	}
	return n.Spec
}

// settle derives phase and address from what else is known.
func (n *Node) settle() {
	st := &n.Status
	switch {
	case n.linkEpoch == 0:
		st.Phase = Pending
	case !n.attached:
		st.Phase = Offline
	case object.Is(st.Conditions, ConditionFenced, object.True):
		st.Phase = Fenced
	default:
		st.Phase = Online
	}
	host, port, err := net.SplitHostPort(n.smbAddress)
	if err == nil {
		n.SMBPort, _ = strconv.Atoi(port)
	}
	ip, notIP := netip.ParseAddr(host)
	switch {
	case n.AdvertisedAddress != "":
		n.Address = n.AdvertisedAddress
	case err != nil: // not yet reported
		n.Address = ""
	case host == "" || notIP == nil && ip.IsUnspecified(): // it listens everywhere
		n.Address = st.LinkAddress
	default:
		n.Address = host
	}
	if n.ShareRoots == nil {
		n.ShareRoots = []string{}
	}
	if st.Held == nil {
		st.Held = []string{}
	}
	if st.Conditions == nil {
		st.Conditions = []object.Condition{}
	}
}

// ownCondition reports whether the server, not the agent, says so.
func ownCondition(typ string) bool { return typ == object.Reachable || typ == ConditionFenced }

// observe takes over the node's part of a report and tells whether that changed anything.
func (n *Node) observe(r *desired.Report, now time.Time) bool {
	old := n.Status
	oldRoots, oldAddress := n.ShareRoots, n.smbAddress
	st, in := &n.Status, &r.Node
	st.Hostname, st.AgentVersion, st.SambaVersion, st.OS = in.Hostname, in.AgentVersion, in.SambaVersion, in.OS
	st.Backend, st.NSS = in.Backend, in.NSS
	st.SmbdPID, st.SmbdRestarts, st.SmbdStarted = in.SmbdPID, in.SmbdRestarts, nil
	if !in.SmbdStarted.IsZero() {
		started := in.SmbdStarted.UTC()
		st.SmbdStarted = &started
	}
	st.AppliedRevision, st.Held = "", slices.Clone(r.Held)
	if r.Revision.Epoch != "" {
		st.AppliedRevision = r.Revision.String()
	}
	n.ShareRoots, n.smbAddress = slices.Clone(in.ShareRoots), in.SMBAddress
	conds := slices.DeleteFunc(slices.Clone(st.Conditions), func(c object.Condition) bool {
		return !ownCondition(c.Type) && object.Find(in.Conditions, c.Type) == nil
	})
	for _, c := range in.Conditions {
		if !ownCondition(c.Type) {
			at := c.LastTransitionAt
			if at.IsZero() {
				at = now
			}
			conds = object.Set(conds, c, at)
		}
	}
	st.Conditions = conds
	n.settle()
	return !sameStatus(&old, st) || !slices.Equal(oldRoots, n.ShareRoots) || oldAddress != n.smbAddress
}

// sameStatus compares all but the times.
func sameStatus(a, b *Status) bool {
	sameCond := func(x, y object.Condition) bool {
		return x.Type == y.Type && x.Status == y.Status && x.Reason == y.Reason && x.Message == y.Message
	}
	sameTime := func(x, y *time.Time) bool { return x == y || x != nil && y != nil && x.Equal(*y) }
	return a.Phase == b.Phase && a.LinkAddress == b.LinkAddress && a.Hostname == b.Hostname && a.AgentVersion == b.AgentVersion &&
		a.SambaVersion == b.SambaVersion && a.OS == b.OS && a.Backend == b.Backend && a.NSS == b.NSS && a.SmbdPID == b.SmbdPID &&
		a.SmbdRestarts == b.SmbdRestarts && sameTime(a.SmbdStarted, b.SmbdStarted) && a.AppliedRevision == b.AppliedRevision &&
		slices.Equal(a.Held, b.Held) && slices.EqualFunc(a.Conditions, b.Conditions, sameCond)
}

// EnrolmentSpec asks for a token.
type EnrolmentSpec struct {
	Name       string `json:"name" minLength:"1" maxLength:"63" doc:"Name of the node to be" example:"pve2"`
	TTLSeconds int    `json:"ttlSeconds" required:"false" minimum:"10" maximum:"604800" default:"3600" doc:"How long the token is good for"`
	Replace    bool   `json:"replace" required:"false" doc:"The node exists: enrol its machine anew. The identity it had before is void once the token is used"`
}

// Enrolment is an invitation to become a node.
type Enrolment struct {
	UID       string    `json:"uid"`
	Name      string    `json:"name"`
	Node      string    `json:"node,omitempty" doc:"UID of the node: with replace, or once the token was used"`
	Used      bool      `json:"used"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// NewEnrolment is an [Enrolment] with what is shown only once.
type NewEnrolment struct {
	Enrolment
	Token       string `json:"token" doc:"Shown only here and only once"`
	Fingerprint string `json:"fingerprint" doc:"Of the server's CA" example:"SHA256:…"`
	Server      string `json:"server" example:"https://gateway.example.com:8443"`
	Command     string `json:"command" doc:"Run this on the machine as root, and paste the token when it waits"`
}
