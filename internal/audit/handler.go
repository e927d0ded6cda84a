package audit

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
)

// Mount registers the operations. There is none that changes the trail.
func Mount(api *httpapi.API, l *Log) {
	httpapi.Resource[struct{}, Entry]{Kind: "audit", Plural: "audit", Audit: Privilege, List: l.List}.Mount(api)
	httpapi.Register(api, httpapi.Op{
		ID: "verify-audit", Method: http.MethodGet, Path: "/audit/verify", Summary: "Check the hash chain of the audit trail",
		Description: "Reads the whole trail. The first entry that was changed, removed or added is named.", Tag: "audit", Privilege: Privilege,
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Verdict }, error) {
		v, err := l.Verify(ctx)
		return &struct{ Body Verdict }{v}, err
	})
}
