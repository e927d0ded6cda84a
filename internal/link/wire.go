package link

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	agentv1 "github.com/pve-smb-gateway/smbgw/api/agent/v1"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Codes of problems that the link itself reports.
const (
	CodeCloned        = "link.cloned"         // another agent with the same identity holds the link
	CodeNotHolder     = "link.not_attached"   // the call's lease is not, or no longer, that of the node's link
	CodeNoCertificate = "link.no_certificate" // the connection has no certificate of a node
	CodeBadRequest    = "link.bad_request"    // what the other side sent makes no sense
	CodeSuperseded    = "link.superseded"     // the holder did not answer and another agent took the link
	CodeUnknownNode   = "link.unknown_node"   // for [Nodes.Admit]: deleted, or enrolled anew with another key
)

// codeHeader carries a problem's code beside Connect's own, coarser one.
const codeHeader = "Smbgw-Problem"

// maxMessage bounds a snapshot or report in bytes; 10,000 shares are about 4 MB.
const maxMessage = 64 << 20

var connectCodes = map[int]connect.Code{
	http.StatusBadRequest:          connect.CodeInvalidArgument,
	http.StatusUnauthorized:        connect.CodeUnauthenticated,
	http.StatusForbidden:           connect.CodePermissionDenied,
	http.StatusNotFound:            connect.CodeNotFound,
	http.StatusConflict:            connect.CodeFailedPrecondition,
	http.StatusGone:                connect.CodePermissionDenied,
	http.StatusUnprocessableEntity: connect.CodeInvalidArgument,
	http.StatusServiceUnavailable:  connect.CodeUnavailable,
}

// toWire returns err as Connect sends it: the public part of a problem.
func toWire(err error) error {
	if errors.Is(err, context.Canceled) {
		return connect.NewError(connect.CodeCanceled, err)
	}
	p := problem.From(err)
	code, ok := connectCodes[p.Status]
	if !ok {
		code = connect.CodeInternal
	}
	out := connect.NewError(code, errors.New(p.Detail))
	out.Meta().Set(codeHeader, p.Code)
	return out
}

// fromWire returns an error of a call as a problem if the server sent one, and as it is otherwise.
func fromWire(err error) error {
	var ce *connect.Error
	if !errors.As(err, &ce) || ce.Meta().Get(codeHeader) == "" {
		return err
	}
	status := http.StatusInternalServerError
	for s, c := range connectCodes {
		if c == ce.Code() {
			status = s
		}
	}
	p := problem.New(status, ce.Meta().Get(codeHeader), ce.Message())
	return p.Because(err)
}

func revisionToWire(r desired.Revision) *agentv1.Revision {
	return &agentv1.Revision{Epoch: r.Epoch, Number: r.Number}
}

func revisionFromWire(r *agentv1.Revision) desired.Revision {
	return desired.Revision{Epoch: r.GetEpoch(), Number: r.GetNumber()}
}

func factsToWire(f Facts) *agentv1.Facts {
	return &agentv1.Facts{Hostname: f.Hostname, AgentVersion: f.AgentVersion, Os: f.OS}
}

func factsFromWire(f *agentv1.Facts) Facts {
	return Facts{Hostname: clip(f.GetHostname()), AgentVersion: clip(f.GetAgentVersion()), OS: clip(f.GetOs())}
}

// clip bounds what a machine says about itself: it is shown to people and kept.
func clip(s string) string {
	clean := make([]rune, 0, len(s))
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			continue
		}
		if clean = append(clean, r); len(clean) == 255 {
			break
		}
	}
	return string(clean)
}
