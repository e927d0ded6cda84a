package reconcile

import (
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Applied returns the condition that the outcome means for its object, to be merged by [object.Set].
func (o Outcome) Applied(at time.Time) object.Condition {
	c := object.Condition{Type: object.Applied, Status: object.True, Reason: "node.applied",
		Message: "The node's Samba holds this generation.", ObservedGeneration: o.Generation, LastTransitionAt: at}
	if o.Problem != nil {
		c.Status, c.Reason, c.Message = object.False, o.Problem.Reason, o.Problem.Message
	}
	return c
}
