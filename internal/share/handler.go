package share

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Mount registers REST /shares.
func Mount(api *httpapi.API, s *Service) {
	httpapi.Resource[Spec, Share]{
		Kind: "share", Plural: "shares", Audit: "Share.Audit", Modify: "Share.Modify",
		Status: http.StatusAccepted, // a node has to act, and a client to prove it
		List:   s.List, Get: s.Get, Create: s.Create, Update: s.Update,
		Delete: func(ctx context.Context, uid, ifMatch string) (*Share, error) {
			share, err := s.Delete(ctx, uid, ifMatch)
			return &share, err
		},
		Spec: func(s Share) Spec { return s.Spec },
		Meta: func(s Share) object.Meta { return s.Meta },
	}.Mount(api)
}
