package desired

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// FormatVersion is the version of the JSON form of [Snapshot]; an agent refuses a newer one than it knows.
const FormatVersion = 1

// Revision orders the snapshots of one node. Numbers compare only within one store epoch: after the control plane was
// restored from a backup it starts a new epoch, and the agent holds removals until a person confirms them.
type Revision struct {
	Epoch  string `json:"epoch"`
	Number int64  `json:"number"`
}

// String returns "epoch:number".
func (r Revision) String() string { return r.Epoch + ":" + strconv.FormatInt(r.Number, 10) }

// Snapshot is the whole of what one node shall be, read in one transaction. A share that is not in it shall not be
// served by that node. It holds NT hashes: keep its file 0600 and never log it.
type Snapshot struct {
	Format   int      `json:"format"`
	NodeUID  string   `json:"nodeUID"`
	Revision Revision `json:"revision"`
	// ConfirmedEpoch is the store epoch for which a person has confirmed removals on this node; ConfirmedNumber the
	// highest revision number they cover. See package reconcile for holds.
	ConfirmedEpoch  string  `json:"confirmedEpoch,omitempty"`
	ConfirmedNumber int64   `json:"confirmedNumber,omitempty"`
	Shares          []Share `json:"shares"`
	Users           []User  `json:"users"`
	Groups          []Group `json:"groups"`
}

// Share is the spec of one share as the agent needs it.
type Share struct {
	UID        string `json:"uid"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// Path is absolute and clean; empty means the node's first share root joined with the name.
	Path string `json:"path"`
	// CreatePath lets the agent create a missing path below a share root, owned by the share owner.
	CreatePath bool   `json:"createPath"`
	Comment    string `json:"comment,omitempty"`
	ReadOnly   bool   `json:"readOnly"`
	Browseable bool   `json:"browseable"`
	// ValidUsers, ReadList, WriteList hold user names and @group names, as in smb.conf(5). Empty ValidUsers: every
	// authenticated user.
	ValidUsers []string `json:"validUsers,omitempty"`
	ReadList   []string `json:"readList,omitempty"`
	WriteList  []string `json:"writeList,omitempty"`
	// Parameters are further smb.conf(5) parameters of the section, already checked against the allow list.
	Parameters map[string]string `json:"parameters,omitempty"`
}

// User is a local Samba user. Every node gets all users.
type User struct {
	UID        string `json:"uid"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// ID is the Unix uid, from the reserved range.
	ID       int    `json:"id"`
	FullName string `json:"fullName,omitempty"`
	Enabled  bool   `json:"enabled"`
	// NTHash is MD4 of the UTF-16LE password in upper-case hex (32 characters), empty while no password is set.
	NTHash string `json:"ntHash,omitempty"`
	// PasswordSetAt tells when the hash last changed; the agent writes passdb again when it moves.
	PasswordSetAt time.Time `json:"passwordSetAt"`
}

// Group is a local group of Samba users.
type Group struct {
	UID        string `json:"uid"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// ID is the Unix gid, from the reserved range.
	ID      int      `json:"id"`
	Members []string `json:"members,omitempty"`
}

// The reserved ranges of Unix ids. They lie below 65536 so that they exist inside an unprivileged container.
const (
	FirstUserID  = 20000
	LastUserID   = 49999
	FirstGroupID = 50000
	LastGroupID  = 59999
	// OwnerID is uid and gid of the account that owns the files of shares (`force user`), named [OwnerName].
	OwnerID   = 19999
	OwnerName = "smbgw"
	// StrangerID is the uid of the account with which the probe shows that strangers are refused. It may use no share.
	StrangerID   = 19998
	StrangerName = "smbgw-stranger"
)

// Kinds of reported objects.
const (
	KindShare = "share"
	KindUser  = "user"
	KindGroup = "group"
)

// Report tells what an agent has observed after a pass. It replaces every earlier report of that node: reports are
// complete, and the latest wins.
type Report struct {
	NodeUID string `json:"nodeUID"`
	// Revision is that of the snapshot the pass worked on.
	Revision Revision       `json:"revision"`
	At       time.Time      `json:"at"`
	Objects  []ObjectReport `json:"objects"`
	Node     NodeReport     `json:"node"`
	// Held lists names of marked sections that are not desired but were kept, because removals are held.
	Held []string `json:"held,omitempty"`
}

// ObjectReport tells the state of one incarnation of one object. Receivers ignore it unless UID and
// ObservedGeneration fit what they hold.
type ObjectReport struct {
	Kind               string             `json:"kind"`
	UID                string             `json:"uid"`
	ObservedGeneration int64              `json:"observedGeneration"`
	Conditions         []object.Condition `json:"conditions"`
	// Path is the path in effect, when the spec left it to the node.
	Path    string   `json:"path,omitempty"`
	Receipt *Receipt `json:"receipt,omitempty"`
}

// NodeReport tells the state of the node itself.
type NodeReport struct {
	Hostname     string             `json:"hostname"`
	AgentVersion string             `json:"agentVersion"`
	SambaVersion string             `json:"sambaVersion,omitempty"`
	OS           string             `json:"os,omitempty"`
	ShareRoots   []string           `json:"shareRoots"`
	SMBAddress   string             `json:"smbAddress" doc:"host:port on which smbd listens"`
	Backend      string             `json:"backend" example:"registry"`
	NSS          string             `json:"nss" example:"extrausers"`
	SmbdPID      int                `json:"smbdPID,omitempty"`
	SmbdStarted  time.Time          `json:"smbdStarted,omitzero"`
	SmbdRestarts int                `json:"smbdRestarts"`
	Conditions   []object.Condition `json:"conditions"`
}

// Receipt is the dated result of a probe: what a real SMB client has just been able to do, and what it was refused.
type Receipt struct {
	At         time.Time `json:"at"`
	Generation int64     `json:"generation" doc:"The share's generation that was proven"`
	Passed     bool      `json:"passed"`
	Client     string    `json:"client" doc:"The SMB client that was used"`
	Dialect    string    `json:"dialect,omitempty" example:"SMB 3.1.1"`
	// Millis is how long the whole probe took, in milliseconds.
	Millis float64 `json:"millis"`
	Checks []Check `json:"checks"`
}

// Check is one promise of the spec and whether it held.
type Check struct {
	// Name is one of connect, list, write, readBack, delete, readOnlyRefused, strangerRefused, anonymousRefused.
	Name   string  `json:"name"`
	As     string  `json:"as,omitempty" doc:"The user that was used"`
	OK     bool    `json:"ok"`
	Status string  `json:"status,omitempty" doc:"NT status or error code of the answer" example:"NT_STATUS_ACCESS_DENIED"`
	Detail string  `json:"detail,omitempty"`
	Millis float64 `json:"millis"`
}

// Contributor is a room that adds its objects to a node's snapshot. It is called inside one read transaction, which
// ctx carries, so that content and revision belong together.
type Contributor interface {
	Contribute(ctx context.Context, nodeUID string, s *Snapshot) error
}

// Observer is a room that takes its objects' part of a report. It is called inside one write transaction, which ctx
// carries. It must ignore reports of an old generation or of an unknown UID.
type Observer interface {
	Observe(ctx context.Context, r *Report) error
}

// Sort brings all lists of s into the canonical order, by name.
func (s *Snapshot) Sort() {
	slices.SortFunc(s.Shares, func(a, b Share) int { return compare(a.Name, b.Name) })
	slices.SortFunc(s.Users, func(a, b User) int { return compare(a.Name, b.Name) })
	slices.SortFunc(s.Groups, func(a, b Group) int { return compare(a.Name, b.Name) })
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
