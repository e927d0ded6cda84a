package share

import (
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Spec is what a person wants a share to be. Names of fields follow smb.conf(5).
type Spec struct {
	Name       string            `json:"name" minLength:"1" maxLength:"80" doc:"As clients see it" example:"projects"`
	Node       string            `json:"node" required:"false" doc:"UID or name of the node; may be left out where there is one node"`
	Path       string            `json:"path" required:"false" maxLength:"1024" doc:"Directory on the node, below one of its share roots; by default the first share root with the name"`
	CreatePath *bool             `json:"createPath" required:"false" nullable:"false" default:"true" doc:"Create the directory if it is missing"`
	Comment    string            `json:"comment" required:"false" maxLength:"256"`
	ReadOnly   bool              `json:"readOnly" required:"false" doc:"Nobody writes, except who is in writeList"`
	Browseable *bool             `json:"browseable" required:"false" nullable:"false" default:"true" doc:"Show the share when clients list shares"`
	ValidUsers []string          `json:"validUsers" required:"false" nullable:"false" maxItems:"500" doc:"Users and @groups that may connect; empty means every user" example:"[\"alice\",\"@staff\"]"`
	ReadList   []string          `json:"readList" required:"false" nullable:"false" maxItems:"500" doc:"Users and @groups that may only read"`
	WriteList  []string          `json:"writeList" required:"false" nullable:"false" maxItems:"500" doc:"Users and @groups that may write although the share is read-only"`
	Parameters map[string]string `json:"parameters" required:"false" doc:"Further smb.conf(5) parameters of the section, from an allow list"`
}

// Phase sums a share up in one word.
type Phase string

// Phases. Ready follows from the Ready condition alone, and that from a probe's receipt.
const (
	Applying Phase = "Applying"
	Ready    Phase = "Ready"
	Failed   Phase = "Failed"
	Deleting Phase = "Deleting"
)

// Status is what was observed. Only reports write it.
type Status struct {
	Phase              Phase              `json:"phase" enum:"Applying,Ready,Failed,Deleting"`
	ObservedGeneration int64              `json:"observedGeneration" doc:"The generation that the conditions speak of; 0 before the first report"`
	Path               string             `json:"path,omitempty" doc:"The path in effect"`
	Conditions         []object.Condition `json:"conditions" nullable:"false"`
	Receipt            *desired.Receipt   `json:"receipt,omitempty" doc:"What a real SMB client has just been able to do"`
}

// Share is the whole object.
type Share struct {
	object.Meta
	Spec
	NodeName string `json:"nodeName"`
	Status   Status `json:"status"`

	deletingAt  time.Time // zero unless it is on its way out
	deletingSeq int64     // number of the event of the deletion
}

// public returns what the audit trail keeps of a share: its spec.
func (s *Share) public() any {
	if s == nil {
		return nil
	}
	return s.Spec
}

// settle derives the phase from the conditions.
func (s *Share) settle() {
	ready := object.Find(s.Status.Conditions, object.Ready)
	current := ready != nil && ready.ObservedGeneration == s.Generation
	switch {
	case !s.deletingAt.IsZero():
		s.Status.Phase = Deleting
	case current && ready.Status == object.True:
		s.Status.Phase = Ready
	case current && ready.Status == object.False:
		s.Status.Phase = Failed
	default:
		s.Status.Phase = Applying
	}
}
