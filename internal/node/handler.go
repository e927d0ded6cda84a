package node

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

const (
	audit  = "Node.Audit"
	modify = "Node.Modify"
)

type newEnrolment struct {
	// CacheControl keeps the token out of caches, and out of the answers kept for an Idempotency-Key.
	CacheControl string `header:"Cache-Control"`
	Body         NewEnrolment
}

// Mount registers REST /nodes.
func Mount(api *httpapi.API, s *Service) {
	httpapi.Resource[Spec, Node]{
		Kind: "node", Plural: "nodes", Audit: audit, Modify: modify,
		List: s.List, Get: s.Get, Update: s.Update,
		Delete: func(ctx context.Context, uid, ifMatch string) (*Node, error) { return nil, s.Delete(ctx, uid, ifMatch) },
		Spec:   func(n Node) Spec { return n.Spec },
		Meta:   func(n Node) object.Meta { return n.Meta },
	}.Mount(api)
	httpapi.Register(api, httpapi.Op{ID: "confirm-removals", Method: http.MethodPost, Path: "/nodes/{uid}/confirm-removals", Tag: "node", Privilege: modify,
		Summary: "Let a node remove the shares that it holds", Description: "Take the ETag of the node as you have seen it, with its list of held shares.", Status: http.StatusAccepted},
		func(ctx context.Context, in *struct {
			httpapi.UID
			IfMatch string `header:"If-Match" doc:"ETag of the node; * by default" default:"*"`
		}) (*httpapi.One[Node], error) {
			n, err := s.ConfirmRemovals(ctx, in.UID.UID, in.IfMatch)
			if err != nil {
				return nil, err
			}
			return &httpapi.One[Node]{ETag: n.ETag(), Body: n}, nil
		})
	httpapi.Register(api, httpapi.Op{ID: "create-enrolment", Method: http.MethodPost, Path: "/nodes/enrolments", Tag: "node", Privilege: modify,
		Summary: "Create a one-time token by which a machine becomes a node", Status: http.StatusCreated},
		func(ctx context.Context, in *struct{ Body EnrolmentSpec }) (*newEnrolment, error) {
			e, err := s.CreateEnrolment(ctx, in.Body)
			if err != nil {
				return nil, err
			}
			return &newEnrolment{CacheControl: "no-store", Body: e}, nil
		})
	httpapi.Register(api, httpapi.Op{ID: "list-enrolments", Method: http.MethodGet, Path: "/nodes/enrolments", Tag: "node", Privilege: audit,
		Summary: "List enrolment tokens of the last weeks, without the tokens"},
		func(ctx context.Context, _ *struct{}) (*struct {
			Body struct {
				Items []Enrolment `json:"items" nullable:"false"`
			}
		}, error) {
			items, err := s.Enrolments(ctx)
			out := &struct {
				Body struct {
					Items []Enrolment `json:"items" nullable:"false"`
				}
			}{}
			out.Body.Items = items
			return out, err
		})
	httpapi.Register(api, httpapi.Op{ID: "revoke-enrolment", Method: http.MethodDelete, Path: "/nodes/enrolments/{uid}", Tag: "node", Privilege: modify,
		Summary: "Make an enrolment token worthless", Status: http.StatusNoContent},
		func(ctx context.Context, in *struct {
			httpapi.UID
			httpapi.IfMatch
		}) (*struct{}, error) {
			return nil, s.RevokeEnrolment(ctx, in.UID.UID)
		})
}
